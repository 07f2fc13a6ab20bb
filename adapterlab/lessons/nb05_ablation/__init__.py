"""Lesson 05: when trained adapters are taken out of some layers, without any further training, how
much accuracy goes with them?
"""
