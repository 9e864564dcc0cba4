"""Figures and self-contained HTML pages, from stored results only.

`figure` holds the one vocabulary of charts, `render_matplotlib` and `render_plotly` draw it, `page` makes the
report of a run and interactive figures, `panels` is where a world registers what its page says. plotly and
matplotlib are imported when they are first needed.
"""
