"""Who the drawn faces are: identities, and images of them, keyed by (seed, number), so that no image depends on how many are made.

Nobody is portrayed and no attribute means more than what is drawn. Each image shows a person drawn from one pool, so that any range of
images is a sample of the same distribution, as in CelebA's mixed order; blocks of identities would make splits differ in more than chance.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from twinsplit.noise.reference import Noise

ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair",
    "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair",
    "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin",
    "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings",
    "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
NEAR_DUPLICATES = 0.04
Uniforms = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Person:
    """What stays from image to image. Numbers are in [0, 1] unless said otherwise; beard: none, shadow, goatee, moustache or full."""

    number: int
    male: bool
    young: bool
    glasses: bool
    bald: bool
    receding: bool
    wavy: bool
    hair: str
    beard: str
    skin: float
    width: float
    length: float
    jaw: float
    eyes: float
    spacing: float
    iris: float
    brows: float
    nose: float
    lips: float
    makeup: float
    cheeks: float


@final
@dataclass(frozen=True)
class Shot:
    """What changes from image to image; yaw, tilt, lights and shifts in [-1, 1], the rest in [0, 1]."""

    glasses: bool
    hat: bool
    bangs: bool
    earrings: bool
    necklace: bool
    necktie: bool
    blurry: bool
    yaw: float
    tilt: float
    light_x: float
    light_y: float
    exposure: float
    smile: float
    opening: float
    shift_x: float
    shift_y: float
    zoom: float
    quality: float
    grain: float
    clothes: tuple[float, float, float]
    background: tuple[float, ...]


@final
@dataclass(frozen=True)
class Album:
    """Images without end, numbered from 0. people: the size of the pool; 20,000 images of 1,000 people are twenty of each, as in CelebA."""

    seed: int = 0
    people: int = 1000

    def uniforms(self, stream: str, number: int, count: int) -> Uniforms:
        """(count,) float64 in (0, 1)."""
        drawn: Uniforms = Noise(self.seed, f"faces/{stream}").uniform(0, torch.tensor([number]), (count,))[0].numpy()
        return drawn

    def original(self, image: int) -> int:
        """The image that `image` nearly repeats (4% of images repeat one before them), or itself."""
        chance, which = self.uniforms("repeat", image, 2)
        return self.original(int(which * image)) if image and chance < NEAR_DUPLICATES else image

    def identity(self, image: int) -> int:
        """The number of the person in an image, from 0."""
        return int(self.uniforms("who", self.original(image), 1)[0] * self.people)

    def person(self, image: int) -> Person:
        """The person in an image."""
        number = self.identity(image)
        return _person(number, self.uniforms("person", number, 24))

    def shot(self, image: int) -> Shot:
        """The circumstances of an image; a near-duplicate differs from its original in framing, exposure and compression alone."""
        first = self.original(image)
        found = _shot(self.uniforms("shot", first, 34), self.person(image))
        return found if first == image else _retaken(found, self.uniforms("retake", image, 4))


def _person(number: int, u: Uniforms) -> Person:
    male, young = bool(u[0] < 0.42), bool(u[1] < 0.77)
    bald = male and bool(u[2] < 0.1)
    return Person(
        number, male, young, bool(u[3] < 0.14), bald, male and not bald and bool(u[4] < 0.2), bool(u[5] < 0.4),
        hair=_hair(u[6], young), beard=_beard(u[7]) if male else "none",
        skin=u[8], width=u[9], length=u[10], jaw=u[11], eyes=u[12], spacing=u[13], iris=u[14], brows=u[15], nose=u[16], lips=u[17],
        makeup=0.0 if male else u[18], cheeks=u[19],
    )  # fmt: skip


def _hair(u: float, young: bool) -> str:
    if not young and u < 0.55:
        return "Gray_Hair"
    return "Black_Hair" if u < 0.4 else "Brown_Hair" if u < 0.75 else "Blond_Hair"


def _beard(u: float) -> str:
    return "none" if u < 0.55 else "shadow" if u < 0.7 else "goatee" if u < 0.8 else "moustache" if u < 0.88 else "full"


def _shot(u: Uniforms, who: Person) -> Shot:
    spread = 2 * u - 1
    return Shot(
        glasses=bool(u[0] < (0.85 if who.glasses else 0.03)), hat=bool(u[1] < 0.05), bangs=not who.bald and bool(u[2] < 0.2),
        earrings=not who.male and bool(u[3] < 0.35), necklace=not who.male and bool(u[4] < 0.25), necktie=who.male and bool(u[5] < 0.2),
        blurry=bool(u[6] < 0.05), yaw=spread[7] * abs(spread[8]), tilt=spread[9] * abs(spread[10]), light_x=spread[11], light_y=spread[12],
        exposure=u[13], smile=u[14], opening=u[15], shift_x=spread[16], shift_y=spread[17], zoom=u[18], quality=u[19], grain=u[20],
        clothes=(u[21], u[22], u[23]), background=tuple(u[24:34]),
    )  # fmt: skip


def _retaken(first: Shot, u: Uniforms) -> Shot:
    x, y, exposure = 0.2 * (2 * u[:3] - 1)
    return replace(first, shift_x=first.shift_x + x, shift_y=first.shift_y + y, exposure=first.exposure + exposure, quality=u[3])


def attributes(who: Person, how: Shot) -> dict[str, int]:
    """CelebA's 40 attributes, 1 or -1, each as drawn; Attractive follows a drawn feature only to have both values."""
    true = {
        "5_o_Clock_Shadow": who.beard == "shadow", "Arched_Eyebrows": not who.male and who.brows < 0.5, "Attractive": who.cheeks > 0.5,
        "Bags_Under_Eyes": not who.young, "Bald": who.bald, "Bangs": how.bangs, "Big_Lips": who.lips > 0.7, "Big_Nose": who.nose > 0.7,
        who.hair: not who.bald, "Blurry": how.blurry, "Bushy_Eyebrows": who.brows > 0.75, "Chubby": who.width > 0.85,
        "Double_Chin": who.width > 0.92, "Eyeglasses": how.glasses, "Goatee": who.beard == "goatee", "Heavy_Makeup": who.makeup > 0.6,
        "High_Cheekbones": who.cheeks > 0.6, "Male": who.male, "Mouth_Slightly_Open": how.opening > 0.55,
        "Mustache": who.beard in ("moustache", "full"), "Narrow_Eyes": who.eyes < 0.2, "No_Beard": who.beard == "none",
        "Oval_Face": who.length > 0.6, "Pale_Skin": who.skin < 0.08, "Pointy_Nose": who.nose < 0.3, "Receding_Hairline": who.receding,
        "Rosy_Cheeks": who.makeup > 0.8, "Sideburns": who.beard == "full", "Smiling": how.smile > 0.5,
        "Straight_Hair": not who.wavy and not who.bald, "Wavy_Hair": who.wavy and not who.bald, "Wearing_Earrings": how.earrings,
        "Wearing_Hat": how.hat, "Wearing_Lipstick": who.makeup > 0.4, "Wearing_Necklace": how.necklace, "Wearing_Necktie": how.necktie,
        "Young": who.young,
    }  # fmt: skip
    return {name: 1 if true.get(name, False) else -1 for name in ATTRIBUTES}
