"""Measuring: many adapters in one pass, ablation, counts and costs; experiments, and the rows that are recorded of them.

May import whatever trains and loads (models, tasks, train, adapters and below), nothing of lessons or book.
"""
