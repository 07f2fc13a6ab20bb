"""Lesson 12: what can three adapters that never met in training do together, and what do they lose?"""
