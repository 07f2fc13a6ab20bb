"""Running the workbook: execute it headless, make pages of it, keep it fit to commit, say what a machine lacks.

refresh -> run -> pages -> scrub -> notebooks; the top of the package: nothing below imports from here.
"""
