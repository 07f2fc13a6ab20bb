"""What every lesson's exercises, figures and views are made with: the exercise and its checks, theme, drawing, view.

It imports the library and no lesson. A helper comes here when a second lesson needs it.
"""
