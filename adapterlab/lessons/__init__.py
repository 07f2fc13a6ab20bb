"""What the notebooks need and nothing else does: a folder a lesson, with its exercises, figures and views.

A lesson imports the library and `kit`, never another lesson nor the book; plotly and ipywidgets are at home here.
`check` finds every exercise by its name. What is computed rather than shown belongs to the library below.
"""
