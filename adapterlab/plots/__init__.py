"""Figures: pure functions DataFrame -> plotly Figure, one module per subject, one look (`theme`)."""
