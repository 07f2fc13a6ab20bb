"""Lesson 00: why tune an adapter when one could simply train the whole model?"""
