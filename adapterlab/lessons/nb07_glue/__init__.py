"""Lesson 07: do adapters keep up with full fine-tuning over many tasks, and
what happens to the first task while you learn the next?
"""
