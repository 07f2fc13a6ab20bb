"""Lesson 10: what does it take to write an adapter into the weights themselves, and
why is training it not as fast as it is small?
"""
