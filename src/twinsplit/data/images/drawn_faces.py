"""Drawn faces in CelebA's size: persons whose traits stay, in shots that differ in pose, light and
dress.

A picture depends on (seed, number) alone, and any range of pictures is a sample of one
distribution, as in CelebA's mixed order. Nobody is portrayed, and an attribute means no more than
what is drawn.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from twinsplit.noise.reference import Noise

Floats = NDArray[Any]  # float32
Traits = Mapping[str, float]
# Traits are uniform on (0, 1), in the order of the random numbers: a new one goes to the end.
PERSON = (
    "sex", "age", "crown", "sight", "forehead", "curl", "hair", "beard", "skin", "width", "length", "jaw", "eyes",
    "spacing", "iris", "brows", "nose", "lips", "makeup", "cheeks",
)  # fmt: skip
SHOT = (
    "glasses", "hat", "bangs", "earrings", "necklace", "necktie", "blur", "yaw", "yaw_size", "tilt", "tilt_size",
    "light_x", "light_y", "exposure", "smile", "opening", "x", "y", "zoom", "quality", "grain", "dress_red",
    "dress_green", "dress_blue", "wall_red", "wall_green", "wall_blue", "slope_x", "slope_y",
)  # fmt: skip
RETAKEN = {"x": 0.2, "y": 0.2, "exposure": 0.4}  # by how much traits of a near-duplicate differ, from end to end
NEAR_DUPLICATES = 0.04

WIDTH, HEIGHT = 178, 218
MIDDLE = 122.0  # the height of the middle of a head
BLACK, WHITE, RED, GOLD, PURPLE = np.array([(20, 18, 18), (246, 244, 239), (170, 40, 58), (214, 178, 92), (96, 70, 104)], np.float32)
SKIN = np.array([(255, 228, 206), (240, 200, 168), (214, 164, 124), (160, 108, 72), (96, 62, 44)], np.float32)
IRIS = np.array([(70, 44, 28), (96, 74, 40), (70, 104, 84), (84, 118, 150)], np.float32)
HAIR = {"Black_Hair": (28, 24, 24), "Blond_Hair": (206, 170, 104), "Gray_Hair": (168, 166, 164), "Brown_Hair": (86, 56, 36)}
# Hollows and heights of the skin on both sides: distance from the middle, y, width, height, strength.
RELIEF = ((19, 108, 12, 7, -0.15), (8, 124, 4, 12, -0.07), (0, 128, 3, 16, 0.1), (0, 147, 9, 3, -0.16),
          (17, 148, 3, 9, -0.08), (0, 168, 9, 3, -0.11), (0, 84, 26, 12, 0.06))  # fmt: skip


@final
@dataclass(frozen=True)
class FaceSet:
    """Pictures without end, numbered from 0, of a pool of `people`: 20,000 pictures of 1,000 people
    are twenty of each, as in CelebA."""

    seed: int = 0
    people: int = 1000

    def _uniforms(self, stream: str, number: int, count: int) -> list[float]:
        drawn: list[float] = Noise(self.seed, f"faces/{stream}").uniform(0, torch.tensor([number]), (count,))[0].tolist()
        return drawn

    def original(self, image: int) -> int:
        """The picture that `image` nearly repeats (4% repeat one before them), or itself."""
        chance, which = self._uniforms("repeat", image, 2)
        return self.original(int(which * image)) if image and chance < NEAR_DUPLICATES else image

    def identity(self, image: int) -> int:
        """The number of the person in a picture, from 0."""
        return int(self._uniforms("who", self.original(image), 1)[0] * self.people)

    def face(self, image: int) -> dict[str, float]:
        """The traits in a picture; a near-duplicate differs from its original in place, exposure
        and compression alone."""
        first = self.original(image)
        traits = dict(zip(PERSON, self._uniforms("person", self.identity(image), len(PERSON)), strict=True))
        traits |= zip(SHOT, self._uniforms("shot", first, len(SHOT)), strict=True)
        if first != image:
            *moves, traits["quality"] = self._uniforms("retake", image, 4)
            traits |= {name: traits[name] + share * (by - 0.5) for (name, share), by in zip(RETAKEN.items(), moves, strict=True)}
        return traits

    def labels(self, image: int) -> dict[str, int]:
        """CelebA's 40 attributes of a picture in CelebA's order, 1 or -1."""
        return {name: 1 if true else -1 for name, true in sorted(attributes(self.face(image)).items())}


def attributes(t: Traits) -> dict[str, bool]:
    """CelebA's attributes of given traits. Attractive follows a drawn feature, only to have both values."""
    male, young, cheeks, makeup = t["sex"] < 0.42, t["age"] < 0.77, t["cheeks"], t["makeup"] * (t["sex"] >= 0.42)
    bald, grey = male and t["crown"] < 0.1, not young and t["hair"] < 0.55
    shade = "Gray" if grey else "Black" if t["hair"] < 0.4 else "Brown" if t["hair"] < 0.75 else "Blond"
    beard = int(np.searchsorted((0.55, 0.7, 0.8, 0.88), t["beard"], side="right")) if male else 0
    hairs = {f"{name}_Hair": name == shade and not bald for name in ("Black", "Blond", "Brown", "Gray")}
    return hairs | {
        "Bald": bald, "Wavy_Hair": t["curl"] < 0.4 and not bald, "Straight_Hair": t["curl"] >= 0.4 and not bald,
        "Receding_Hairline": male and not bald and t["forehead"] < 0.2, "Bangs": not bald and t["bangs"] < 0.2,
        "5_o_Clock_Shadow": beard == 1, "Goatee": beard == 2, "Mustache": beard >= 3, "Sideburns": beard == 4, "No_Beard": beard == 0,
        "Arched_Eyebrows": not male and t["brows"] < 0.5, "Bushy_Eyebrows": t["brows"] > 0.75, "Attractive": cheeks > 0.5,
        "Bags_Under_Eyes": not young, "Young": young, "Male": male, "Big_Lips": t["lips"] > 0.7, "Big_Nose": t["nose"] > 0.7,
        "Pointy_Nose": t["nose"] < 0.3, "Blurry": t["blur"] < 0.05, "Chubby": t["width"] > 0.85, "Double_Chin": t["width"] > 0.92,
        "Eyeglasses": t["glasses"] < (0.85 if t["sight"] < 0.14 else 0.03), "High_Cheekbones": cheeks > 0.6, "Pale_Skin": t["skin"] < 0.08,
        "Oval_Face": t["length"] > 0.6, "Narrow_Eyes": t["eyes"] < 0.2, "Mouth_Slightly_Open": t["opening"] > 0.55,
        "Smiling": t["smile"] > 0.5, "Wearing_Lipstick": makeup > 0.4, "Heavy_Makeup": makeup > 0.6, "Rosy_Cheeks": makeup > 0.8,
        "Wearing_Hat": t["hat"] < 0.05, "Wearing_Earrings": not male and t["earrings"] < 0.35,
        "Wearing_Necklace": not male and t["necklace"] < 0.25, "Wearing_Necktie": male and t["necktie"] < 0.2,
    }  # fmt: skip


def encoded(faces: FaceSet, image: int) -> bytes:
    """The JPEG file of a picture, of 178 x 218 pixels."""
    face, buffer = faces.face(image), io.BytesIO()
    grain = Noise(faces.seed, "faces/grain").normal(0, torch.tensor([image]), (HEIGHT, WIDTH), torch.float32)[0].numpy()
    levels = drawn(face) + (1 + 4 * face["grain"]) * grain[..., None]
    found = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    found = found.filter(ImageFilter.GaussianBlur(1.6)) if attributes(face)["Blurry"] else found
    found.save(buffer, "JPEG", quality=60 + int(35 * face["quality"]))
    return buffer.getvalue()


def _along(colours: Floats, place: float) -> Floats:
    """A colour along a list of colours (n, 3), place in [0, 1]."""
    at = min(place, 0.999) * (len(colours) - 1)
    found: Floats = colours[int(at)] + np.float32(at % 1) * (colours[int(at) + 1] - colours[int(at)])
    return found


@final
@dataclass(frozen=True, eq=False)
class _Canvas:
    """levels (H, W, 3), painted in place, and each pixel's place on an upright frontal head: x from
    the middle, y down, (H, W).

    A shape is a soft mask (H, W) in [0, 1], on both sides of the middle. depth: 0 at the outline of
    the head, 1 at the tip of the nose, which a turn of the head moves most.
    """

    levels: Floats
    x: Floats
    y: Floats
    yaw: float

    def paint(self, mask: Floats, colour: Floats, share: float = 1.0) -> None:
        rows = np.flatnonzero(mask.any(1) * share)
        if len(rows):
            part = slice(rows[0], rows[-1] + 1)
            self.levels[part] += np.float32(share) * mask[part, :, None] * (colour - self.levels[part])

    def side(self, depth: float = 0.0) -> Floats:
        """The distance from the middle."""
        return np.abs(self.x - np.float32(14 * depth * self.yaw))

    def oval(self, x: float, y: float, wide: float, high: float, depth: float = 0.0) -> Floats:
        return _soft((1 - np.hypot((self.side(depth) - x) / wide, (self.y - y) / high)) * min(wide, high))

    def lens(self, x: float, y: float, wide: float, top: float, bottom: float, depth: float = 0.0) -> Floats:
        """Between two parabolas that meet at the height y: in their middle they are `top` and `bottom` lower."""
        hang = 1 - ((self.side(depth) - x) / wide) ** 2
        return _soft(self.y - y - top * hang) * _soft(y + bottom * hang - self.y) * (hang > 0)


def _soft(inside: Floats) -> Floats:
    """The share of a pixel that is covered, so many pixels inside of an edge."""
    return np.clip(inside + np.float32(0.5), 0, 1)


def _colour(t: Traits, thing: str) -> Floats:
    return np.array([40 + 170 * t[f"{thing}_{name}"] for name in ("red", "green", "blue")], np.float32)


def drawn(face: Traits) -> Floats:
    """(218, 178, 3) levels of a face in its light, without grain."""
    t = dict(face) | attributes(face) | {"half_width": 38 + 8 * face["width"] + 1.5 * attributes(face)["Male"]}
    zoom, tilt = 0.96 + 0.08 * t["zoom"], 0.14 * (2 * t["tilt"] - 1) * t["tilt_size"]
    x, y = np.arange(WIDTH) - 86 - 5 * t["x"], np.arange(HEIGHT)[:, None] - 119 - 5 * t["y"]
    across, down = np.array([np.cos(tilt) * x - np.sin(tilt) * y, np.sin(tilt) * x + np.cos(tilt) * y], np.float32) / np.float32(zoom)
    wall, slope = _colour(t, "wall"), 0.5 * (t["slope_x"] - 0.5) * x + 0.4 * (t["slope_y"] - 0.5) * y
    levels = np.clip(0.45 * wall + 0.55 * wall.mean() + slope[..., None], 0, 255).astype(np.float32)
    canvas = _Canvas(levels, across, down + np.float32(MIDDLE), (2 * t["yaw"] - 1) * t["yaw_size"])
    hair = np.array(next((HAIR[name] for name in HAIR if t[name]), HAIR["Brown_Hair"]), np.float32)
    for part in (_behind, _head, _features, _above):
        part(canvas, t, _along(SKIN, t["skin"]), hair)
    lamp: Floats = canvas.levels * (0.66 + 0.38 * t["exposure"]) * (1 + 0.3 * (t["light_x"] - 0.5) * across / WIDTH)[..., None]
    return lamp


def _behind(c: _Canvas, t: Traits, skin: Floats, hair: Floats) -> None:
    wide, neck = t["half_width"], 17 + 6 * t["Male"] + 4 * t["width"]
    reach = wide + 13 - 8 * t["Male"]
    falling = _soft(reach + 2.5 * np.sin(c.y / 4) * t["Wavy_Hair"] - c.side()) * _soft(c.y - 106) * (1 - t["Male"])
    c.paint(np.maximum(c.oval(0, 108, reach, 58), falling), 0.8 * hair, 1 - t["Bald"])
    c.paint(c.oval(0, 256, 90, 62), _colour(t, "dress"))
    c.paint(np.maximum(_soft(neck - c.side()) * _soft(c.y - 150) * _soft(200 - c.y), c.oval(0, 199, neck + 5, 13)), 0.8 * skin)
    c.paint(_soft(0.9 * (c.y - 186) - c.side()) * _soft(c.y - 196), WHITE, t["Wearing_Necktie"])
    c.paint(_soft(7 - c.side()) * _soft(c.y - 203), RED, t["Wearing_Necktie"])
    c.paint(c.lens(0, 186, neck + 1, 11, 13.5), GOLD, t["Wearing_Necklace"])
    c.paint(c.oval(wide - 1, 120, 6, 12, -0.3), 0.84 * skin)
    c.paint(c.oval(wide, 137, 3, 4.5, -0.3), GOLD, t["Wearing_Earrings"])


def _head(c: _Canvas, t: Traits, skin: Floats, hair: Floats) -> None:
    wide, high = t["half_width"], 58 + 7 * t["length"]
    down = (c.y - MIDDLE) / np.float32(high)
    chin = 1 - (0.26 - 0.12 * t["Male"] - 0.1 * t["jaw"]) * np.clip(down, 0, 1) ** 1.5
    head = _soft((1 - np.hypot(c.side() / (wide * chin), down)) * wide)
    c.paint(head, skin)
    low = head * _soft(c.y - 122) * (1 - c.oval(0, 136, 0.8 * wide, 24))
    c.paint(low, hair, 0.25 * t["5_o_Clock_Shadow"] + 0.7 * t["Sideburns"])
    c.paint(c.oval(0, MIDDLE + high - 11, 13, 12, 0.4), hair, 0.85 * max(t["Goatee"], t["Sideburns"]))
    shade = 0.05 - 0.2 * np.minimum((c.side() / wide) ** 2 + down**2, 1.3) ** 2 + 0.4 * (t["light_x"] - 0.5) * c.x / wide
    for x, y, along, across, strength in (*RELIEF, (0, 75, 40, 40, 0.15 * t["light_y"]), (25, 134, 9, 8, 0.12 * t["cheeks"])):
        shade += strength * np.exp(-(((c.side(0.5) - x) / along) ** 2) - ((c.y - y) / across) ** 2)
    c.levels[:] *= (1 + head * shade)[..., None]


def _features(c: _Canvas, t: Traits, skin: Floats, hair: Floats) -> None:
    x, wide, high = 17.5 + 3.5 * t["spacing"], 8.5 + 0.8 * t["eyes"], 3.2 - 1.2 * t["Narrow_Eyes"] + 1.8 * t["eyes"]
    c.paint(c.oval(x, 109, wide + 2, high + 2.5, 0.5), PURPLE, 0.5 * t["Heavy_Makeup"])
    c.paint(c.lens(x, 116, wide, 3, 6, 0.5), BLACK, 0.22 * t["Bags_Under_Eyes"])
    for size, colour in ((99, WHITE), (4.2, _along(IRIS, t["iris"])), (2, BLACK)):
        c.paint(c.oval(x, 112, wide, high, 0.5) * c.oval(x, 112, size, size, 0.52), colour)
    c.paint(c.lens(x, 112, wide + 1, -high - 1.4 - t["Wearing_Lipstick"], -high + 0.4, 0.5), BLACK, 0.8)
    arch, thick = 3.5 + 2.5 * t["Arched_Eyebrows"], 1.6 + 2.6 * t["brows"] + 0.7 * t["Male"]
    c.paint(c.lens(x, 102.5, 11.5, -arch - thick, -arch + thick / 2, 0.5), 0.65 * hair, 0.85)
    c.paint(c.lens(0, 88, 20, -2.8, -1.3, 0.4) + c.lens(0, 94, 20, -2.8, -1.3, 0.4), BLACK, 0.2 * (1 - t["Young"]))
    c.paint(c.oval(26, 137, 9, 6, 0.45), RED, 0.25 * t["Rosy_Cheeks"])
    c.paint(c.lens(0, 141, 8 + 3.2 * t["nose"], 3.5, 5, 0.9), 0.65 * skin)
    c.paint(c.oval(2.7 + 1.8 * t["nose"], 143.5, 2.2, 1.3, 0.9), 0.4 * skin)
    wide, full, smile, gap = 13 + 5 * t["smile"], 2.6 + 2.8 * t["lips"], 8 * (t["smile"] - 0.3), 9 * max(0.0, t["opening"] - 0.5)
    y, top, bottom = 157 - smile / 2, smile - gap / 2, smile + gap
    c.paint(c.lens(0, y, wide, top - full, bottom + 1.2 * full, 0.55), skin + (0.4 + 0.45 * t["Wearing_Lipstick"]) * (RED - skin))
    c.paint(c.lens(0, y, wide - 1, top - 0.5, bottom + 0.5, 0.55), 0.4 * RED, 0.8)
    c.paint(c.lens(0, y, wide - 2, top, smile + gap / 2, 0.55), WHITE, t["Mouth_Slightly_Open"])
    c.paint(c.lens(0, 155, 18, -10, -2, 0.6), hair, 0.9 * t["Mustache"])


def _above(c: _Canvas, t: Traits, skin: Floats, hair: Floats) -> None:
    wide, x, temple = t["half_width"], 18 + 3.5 * t["spacing"], 100 + 4 * t["Bangs"]
    line = 96 if t["Bangs"] else 70 if t["Receding_Hairline"] else 80
    hairline = temple + (line - temple) * (1 - (c.side() / (wide + 3)) ** 2)
    crown = c.oval(0, temple, wide + 3, temple - 54) * _soft(hairline - c.y)
    c.paint(crown, hair, 1 - t["Bald"])
    c.paint(crown * np.sin(0.8 * c.x + 2 * np.sin(c.y / 4) * t["Wavy_Hair"]) ** 2, hair + 30, 1 - t["Bald"])
    hat = np.maximum(c.oval(0, 84, wide + 8, 48) * _soft(84 - c.y), c.oval(0, 84, wide + 18, 7))
    c.paint(hat, 255 - _colour(t, "wall"), t["Wearing_Hat"])
    glasses = c.oval(x, 113.5, 15, 11.5, 0.55) - c.oval(x, 113.5, 12.4, 8.9, 0.55) + c.lens(0, 113, x - 12, -5, -2.4, 0.6)
    glasses += _soft(1.2 - np.abs(c.y - 111)) * _soft(c.side(0.3) - x - 14) * _soft(wide - c.side())
    c.paint(np.minimum(glasses, 1), BLACK if skin.mean() > 120 else GOLD, t["Eyeglasses"])
