"""Lesson 06: how small must an adapter's weights be when it is new, and do other shapes of adapter do better?"""
