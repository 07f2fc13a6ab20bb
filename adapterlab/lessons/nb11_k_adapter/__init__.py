"""Lesson 11: can a frozen model be given two bodies of knowledge that were learnt apart, and use both at once?"""
