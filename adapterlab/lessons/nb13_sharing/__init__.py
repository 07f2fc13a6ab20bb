"""Lesson 13: what can you do with an adapter once it is trained, and can you trust one that somebody hands you?"""
