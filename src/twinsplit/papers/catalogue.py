"""Every published figure: importing this module registers all families."""

from twinsplit.papers.bg.images import figures as _images  # noqa: F401
from twinsplit.papers.bg.sequences import figures as _sequences  # noqa: F401
from twinsplit.papers.figure import FIGURES, Options, make, plan
from twinsplit.papers.gahb import figures as _ladders  # noqa: F401
from twinsplit.papers.gahb import rates as _rates  # noqa: F401
from twinsplit.papers.gahb import together as _together  # noqa: F401
from twinsplit.papers.gtv import figures as _linear  # noqa: F401
from twinsplit.papers.rp import controlled_figures as _controlled  # noqa: F401

__all__ = ["FIGURES", "Options", "make", "plan"]
