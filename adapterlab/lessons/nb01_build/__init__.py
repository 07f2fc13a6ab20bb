"""Lesson 01: what is an adapter, and how does it get into a model that must not change?"""
