"""Thin ipywidgets views over pure functions, one module per subject; `base.FigureView` carries them."""

from .base import FigureView as FigureView
