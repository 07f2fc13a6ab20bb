"""Lesson 16: what does the second task cost the first, and which method does a job ask for?"""
