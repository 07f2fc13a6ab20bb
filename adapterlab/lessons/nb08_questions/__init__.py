"""Lesson 08: can an adapter learn to point at the answer in a passage, and
how far is it from training the whole model?
"""
