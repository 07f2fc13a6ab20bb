"""Running the workbook: notebooks executed headless, made into pages, kept clean and measured; what a machine lacks.

It imports anything below it and is imported by the command line; nothing here is needed to run a notebook by hand.
"""
