"""Lesson 15: what changes when the frozen model writes?"""
