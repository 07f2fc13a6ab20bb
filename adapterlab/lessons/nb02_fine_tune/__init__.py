"""Lesson 02: how close does an adapter with under 3% of the parameters come to training the whole model?"""
