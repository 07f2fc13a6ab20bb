"""Measuring and comparing: what adapters cost and count, many trained at once, experiments, and their recorded rows.

It imports anything of the library below it, up to `train`, and is imported by lessons, the book and the benchmarks.
pandas and the like are imported where they are used; figures and exercises belong to lessons.
"""
