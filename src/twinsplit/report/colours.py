"""One palette for the page, print and interactive figures, with a light and a dark variant of every colour.

Okabe and Ito's colours, which readers with any of the common colour deficiencies can tell apart, darkened where
white paper needs it; the brighter ones stand on the dark ground. Charts are built with the light variants, and
the browser exchanges them for the dark ones (`dark_by_light`).
"""

LIGHT_DARK = {
    "blue": ("#0072B2", "#56B4E9"),
    "red": ("#D55E00", "#F28E4B"),
    "green": ("#009E73", "#2BC09A"),
    "purple": ("#B4578E", "#CC79A7"),
    "slate": ("#4A5560", "#C3CBD3"),
    "yellow": ("#8A7A00", "#F0E442"),
    "orange": ("#BC8200", "#E69F00"),
    "grey": ("#6B7682", "#A7B2BE"),
    "ink": ("#1A1F25", "#E6E9ED"),
    "quiet": ("#59636E", "#9BA6B2"),
    "grid": ("#E3E7EB", "#2C343D"),
    "card": ("#FFFFFF", "#171C22"),
    # Viridis between its dark and its bright end, for series whose order means something.
    "k0": ("#440154", "#FDE725"),
    "k1": ("#433D84", "#9FDA3A"),
    "k2": ("#31688E", "#4AC16D"),
    "k3": ("#218F8D", "#27A884"),
    "k4": ("#2FA567", "#3692A0"),
    "k5": ("#5E9F22", "#7C8FD0"),
}
"""Name of a colour -> (on a light ground, on a dark one)."""

SERIES = ("blue", "red", "green", "purple", "slate", "yellow", "orange", "grey")
ORDERED = ("k0", "k1", "k2", "k3", "k4", "k5")
BAND, BAR = 0.16, 0.55  # opacities
ALPHAS = (BAND, BAR)


def solid(name: str) -> str:
    """Return the light variant, e.g. "#0072B2"."""
    return LIGHT_DARK[name][0]


def faded(name: str, alpha: float = BAND) -> str:
    """Return the light variant, see-through. The page finds a dark counterpart for the opacities in `ALPHAS` only."""
    assert alpha in ALPHAS
    return _rgba(solid(name), alpha)


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def dark_by_light() -> dict[str, str]:
    """Map every colour that a chart may contain to its counterpart on a dark ground."""
    pairs = dict(LIGHT_DARK.values())
    for alpha in ALPHAS:
        pairs |= {_rgba(light, alpha): _rgba(dark, alpha) for light, dark in LIGHT_DARK.values()}
    return pairs
