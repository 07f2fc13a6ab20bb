"""Lesson 13: what can you do with a trained adapter, and what do you know about one that somebody hands you?"""
