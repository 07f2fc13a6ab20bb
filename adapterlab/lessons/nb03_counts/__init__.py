"""Lesson 03: how many parameters does an adapter add, and what do you save with many tasks?"""
