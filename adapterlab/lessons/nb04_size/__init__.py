"""Lesson 04: what does accuracy lose when the bottleneck shrinks from 512 units to one?"""
