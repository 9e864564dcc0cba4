"""Figures and self-contained HTML pages, from stored results only.

`figure` holds the one vocabulary of charts, `render_matplotlib` and `render_plotly` draw it, `page` makes the
report of a run and interactive figures, `panels` is where a world registers what its page says. plotly and
matplotlib are imported when they are first needed.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """`twinsplit.report(run)` writes the page, although `twinsplit.report` is this package too."""

    def __call__(self, run: Any) -> Path:
        from twinsplit.report.write import report

        return report(run)


sys.modules[__name__].__class__ = _Callable
