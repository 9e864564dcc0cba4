"""Colours of the page and its charts, light and dark.

Okabe and Ito's palette, which readers with any of the common colour deficiencies can tell apart; the brighter members stand on
the dark ground. Charts are built with the light colours, and the page exchanges them for the dark ones (`dark_by_light`).
"""

from twinsplit.report.model import Panel, Report

LIGHT_DARK = {
    "blue": ("#0072B2", "#56B4E9"),
    "vermillion": ("#D55E00", "#E69F00"),
    "green": ("#009E73", "#2BC09A"),
    "purple": ("#B4578E", "#CC79A7"),
    "slate": ("#4A5560", "#C3CBD3"),
    "yellow": ("#8A7A00", "#F0E442"),
    "phase": ("#6B7682", "#A7B2BE"),
    "ink": ("#1A1F25", "#E6E9ED"),
    "quiet": ("#59636E", "#9BA6B2"),
    "grid": ("#E3E7EB", "#2C343D"),
    "card": ("#FFFFFF", "#171C22"),
    # Viridis between its dark and its bright end: for series whose order means something.
    "rank0": ("#440154", "#FDE725"),
    "rank1": ("#433D84", "#9FDA3A"),
    "rank2": ("#31688E", "#4AC16D"),
    "rank3": ("#218F8D", "#27A884"),
    "rank4": ("#2FA567", "#3692A0"),
    "rank5": ("#5E9F22", "#7C8FD0"),
}
"""Name of a colour -> (on a light ground, on a dark one)."""

SERIES = ("green", "purple", "slate", "yellow", "vermillion", "blue")
LEADS = ("blue", "vermillion")
RANKS = ("rank0", "rank1", "rank2", "rank3", "rank4", "rank5")
ALPHAS = (0.1, 0.16, 0.2, 0.55)


def solid(name: str) -> str:
    """The light variant, e.g. "#0072B2"."""
    return LIGHT_DARK[name][0]


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def faded(name: str, alpha: float) -> str:
    """The light variant, see-through; alpha is one of `ALPHAS`, or the page could not find its dark counterpart."""
    assert alpha in ALPHAS
    return _rgba(solid(name), alpha)


def dark_by_light() -> dict[str, str]:
    """Every colour a chart may contain -> its counterpart on a dark ground."""
    pairs = dict(LIGHT_DARK.values())
    for alpha in ALPHAS:
        pairs |= {_rgba(light, alpha): _rgba(dark, alpha) for light, dark in LIGHT_DARK.values()}
    return pairs


def style_variables(variant: int) -> str:
    """CSS custom properties of all colours: variant 0 is light, 1 is dark."""
    return " ".join(f"--{name}: {pair[variant]};" for name, pair in LIGHT_DARK.items())


def series_colours(report: Report) -> dict[tuple[str, str], str]:
    """(panel key, series name) -> name of its colour; a series of the main chart keeps its colour in every other panel."""
    leads = {panel.series[0].name: lead for lead, panel in zip(LEADS, report.main, strict=False) if panel.series}
    known = _extended(leads, [series.name for panel in report.main for series in panel.series])
    return {(panel.key, name): colour for panel in report.panels for name, colour in _panel_colours(panel, known).items()}


def _panel_colours(panel: Panel, known: dict[str, str]) -> dict[str, str]:
    names = [series.name for series in panel.series]
    if panel.palette == "ordered":
        return {name: RANKS[i % len(RANKS)] for i, name in enumerate(names)}
    return _extended({name: known[name] for name in names if name in known}, names)


def _extended(known: dict[str, str], names: list[str]) -> dict[str, str]:
    """`known` and a colour for each further name, none used twice while they last."""
    spare = [colour for colour in SERIES if colour not in known.values()] or list(SERIES)
    fresh = [name for name in dict.fromkeys(names) if name not in known]
    return known | {name: spare[i % len(spare)] for i, name in enumerate(fresh)}
