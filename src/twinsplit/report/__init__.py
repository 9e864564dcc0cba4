"""Figures and one self-contained HTML page, from stored results only.

A `Report` holds everything that is said; `render` makes the page, `save_figure` the picture for documents. plotly and matplotlib are
imported when they are first needed.
"""

from twinsplit.report.figures import main_figure, save_figure
from twinsplit.report.model import Decision, Definition, Histogram, Interval, Level, Panel, Report, Series, Verdict, focus
from twinsplit.report.page import render

__all__ = [
    "Decision",
    "Definition",
    "Histogram",
    "Interval",
    "Level",
    "Panel",
    "Report",
    "Series",
    "Verdict",
    "focus",
    "main_figure",
    "render",
    "save_figure",
]
