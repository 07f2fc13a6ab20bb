"""Lesson 09: bottlenecks, LoRA, (IA)³, prefixes: rivals, or one idea at many places?"""
