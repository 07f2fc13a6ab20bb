"""Lesson 12: what can adapters that never met in training do together, and when is it more than one of them can?"""
