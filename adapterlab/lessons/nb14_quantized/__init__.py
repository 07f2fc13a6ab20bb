"""Lesson 14: must a base that no adapter ever changes be kept in 32 bits a weight?"""
