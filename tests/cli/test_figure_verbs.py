"""Options of figures: one that a family does not take is refused instead of ignored."""

import pytest

from twinsplit.cli import figure_verbs
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.papers.options import FigureOptions


def test_figures_without_networks_have_no_device() -> None:
    with pytest.raises(InputError, match=r"gtv1 has no --device; leave it out: it is for fig1a, .*rp-identities$"):
        figure_verbs.make(FigureOptions("gtv1", device="cuda"), Inline("cuda"))
