"""How the drawn faces are drawn: shapes at twice the size, then soft shading, light, blur and grain, and JPEG. 178 x 218 pixels."""

import io
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from twinsplit.data.images.faces import Album, Person, Shot
from twinsplit.noise.reference import Noise

WIDTH, HEIGHT, OVERSAMPLING = 178, 218, 2
CENTRE = np.array([89.0, 122.0])
SKIN = ((255, 228, 206), (240, 200, 168), (214, 164, 124), (160, 108, 72), (96, 62, 44))
HAIR = {"Black_Hair": (28, 24, 24), "Brown_Hair": (86, 56, 36), "Blond_Hair": (206, 170, 104), "Gray_Hair": (168, 166, 164)}
IRIS = ((70, 44, 28), (96, 74, 40), (70, 104, 84), (84, 118, 150))
STEPS, BEND = np.linspace(0, 1, 41), np.linspace(0, 1, 15)[:, None]
SHADING = (HEIGHT // 2, WIDTH // 2)
Points = NDArray[np.float64]
Rgb = tuple[float, float, float]


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """a for share 0, b for share 1."""
    return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))


def palette(colours: tuple[Rgb, ...], place: float) -> Rgb:
    """A colour along a list of colours, place in [0, 1]."""
    at = min(place, 0.999) * (len(colours) - 1)
    return mix(colours[int(at)], colours[int(at) + 1], at % 1)


def oval(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Points:
    """Points of an ellipse, clockwise from the right, angles in degrees."""
    angle = np.radians(start + (stop - start) * STEPS)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def arc(left: tuple[float, float], bend: float, right: tuple[float, float]) -> Points:
    """A parabola between two points that sags by `bend` in the middle."""
    points: Points = np.array(left) * (1 - BEND) + np.array(right) * BEND + np.array([0, bend]) * 4 * BEND * (1 - BEND)
    return points


@final
@dataclass(frozen=True)
class Pen:
    """Draws in the coordinates of an upright frontal face; turns, tilts and shifts on the way to the picture."""

    draw: ImageDraw.ImageDraw
    how: Shot

    def place(self, points: Points, depth: float = 0.0) -> list[float]:
        """Where points (n, 2) land, as x, y, x, y, ...; depth 0 is the outline of the head, 1 the tip of the nose, which yaw moves."""
        centred = points - CENTRE
        turned = np.stack([centred[:, 0] * (1 - 0.06 * abs(self.how.yaw)) + 11 * depth * self.how.yaw, centred[:, 1]], axis=1)
        angle = 0.14 * self.how.tilt
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        shift = np.array([2.5 * self.how.shift_x, 2.5 * self.how.shift_y])
        placed = (turned @ rotation * (0.96 + 0.08 * self.how.zoom) + CENTRE + shift) * OVERSAMPLING
        flat: list[float] = placed.ravel().tolist()
        return flat

    def fill(self, points: Points, colour: Rgb, depth: float = 0.0) -> None:
        self.draw.polygon(self.place(points, depth), fill=_bytes(colour))

    def line(self, points: Points, colour: Rgb, width: float, depth: float = 0.0) -> None:
        self.draw.line(self.place(points, depth), fill=_bytes(colour), width=max(1, round(width * OVERSAMPLING)), joint="curve")


def _bytes(colour: Rgb) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(level, 0), 255)) for level in colour)
    return red, green, blue


@final
@dataclass(frozen=True)
class Sitter:
    """A person in a shot, with what follows from both: colours, and the sizes that several parts share."""

    who: Person
    how: Shot

    @property
    def skin(self) -> Rgb:
        return palette(SKIN, self.who.skin)

    @property
    def hair(self) -> Rgb:
        return HAIR[self.who.hair]

    @property
    def half_width(self) -> float:
        return 38.0 + 8 * self.who.width + 1.5 * self.who.male

    @property
    def half_height(self) -> float:
        return 58.0 + 7 * self.who.length

    @property
    def eye_distance(self) -> float:
        return 17.5 + 3.5 * self.who.spacing

    def outline(self, grow: float = 0.0) -> Points:
        """The head from the skull to the chin, which narrows towards it."""
        head = oval(0, 0, 1, 1)
        narrow = 0.26 - 0.12 * self.who.male - 0.10 * self.who.jaw
        x = head[:, 0] * (1 - narrow * np.clip(head[:, 1], 0, 1) ** 1.5)
        points: Points = np.stack([x * (self.half_width + grow), head[:, 1] * (self.half_height + grow)], axis=1) + CENTRE
        return points


def picture(album: Album, image: int) -> Image.Image:
    """Image number `image` (from 0) as RGB, before compression."""
    who, how = album.person(image), album.shot(image)
    canvas, skin = _shapes(Sitter(who, how))
    light, relief = (_enlarged(part) for part in _shading(Sitter(who, how)))
    levels = np.asarray(canvas, dtype=np.float32) * (light * (1 + np.asarray(skin, dtype=np.float32) / 255 * relief))[..., None]
    grain = Noise(album.seed, "faces/grain").normal(0, torch.tensor([image]), (HEIGHT, WIDTH), torch.float32)[0].numpy()
    levels += (1.0 + 4.0 * how.grain) * grain[..., None]
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def encoded(album: Album, image: int) -> bytes:
    """The JPEG file of an image."""
    buffer = io.BytesIO()
    picture(album, image).save(buffer, "JPEG", quality=60 + int(35 * album.shot(image).quality))
    return buffer.getvalue()


def _shapes(sitter: Sitter) -> tuple[Image.Image, Image.Image]:
    """The picture without light, and where its skin is (L)."""
    from twinsplit.data.images import face_parts as parts

    size = (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING)
    canvas, skin = _background(sitter.how).resize(size, Image.Resampling.BICUBIC), Image.new("L", size)
    pen = Pen(ImageDraw.Draw(canvas), sitter.how)
    for part in parts.BEHIND:
        part(pen, sitter)
    mask = Pen(ImageDraw.Draw(skin), sitter.how)
    mask.draw.polygon(mask.place(sitter.outline()), fill=255)
    for part in parts.FRONT:
        part(pen, sitter)
    small, mask_small = (layer.resize((WIDTH, HEIGHT), Image.Resampling.BOX) for layer in (canvas, skin))
    return small.filter(ImageFilter.GaussianBlur(1.6)) if sitter.how.blurry else small, mask_small


def _background(how: Shot) -> Image.Image:
    """A few soft patches around one colour."""
    colour = np.array(how.background[:3])
    base = 40 + 170 * (0.45 * colour + 0.55 * colour.mean())
    patches = base + 90 * (np.array(how.background[3:9]).reshape(3, 2, 1) - 0.5)
    return Image.fromarray(np.clip(patches, 0, 255).astype(np.uint8))


def _enlarged(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """A smooth field at half the size, at the size of the picture."""
    return np.asarray(Image.fromarray(field).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def _shading(sitter: Sitter) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two fields (109, 89): light over the whole picture, and what skin adds: the roundness of the head, hollows and heights."""
    who, how = sitter.who, sitter.how
    x, y = 2 * np.arange(SHADING[1]) + 0.5, 2 * np.arange(SHADING[0])[:, None] + 0.5
    u, v = (x - CENTRE[0] - 3 * how.yaw) / sitter.half_width, (y - CENTRE[1]) / sitter.half_height
    relief = 0.04 - 0.20 * np.clip(u * u + v * v, 0, 1.3) ** 2 + 0.16 * how.light_x * u + 0.08 * how.light_y * v
    for along, down, wide, high, strength in _relief(who):
        height = strength * np.exp(-(((y - down) / high) ** 2))
        for centre in {CENTRE[0] - along + 7 * how.yaw, CENTRE[0] + along + 7 * how.yaw}:
            relief = relief + height * np.exp(-(((x - centre) / wide) ** 2))
    light = (0.66 + 0.38 * how.exposure) * (1 + 0.10 * how.light_x * (x / WIDTH - 0.5)) + 0 * y
    return light.astype(np.float32), relief.astype(np.float32)


def _relief(who: Person) -> list[tuple[float, float, float, float, float]]:
    """Gaussians on the skin: distance from the middle line, height in the picture, widths, and strength (negative is shadow)."""
    nose = 5.0 + 2.5 * who.nose
    return [
        (19.0, 109, 11, 7, -0.14),  # eye sockets
        (8.0, 122, 4, 12, -0.07),  # sides of the nose
        (0.0, 128, 3, 16, 0.10),  # its bridge
        (0.0, 145.5, nose + 3, 3, -0.16),  # below it
        (24.0, 134, 9, 8, 0.05 + 0.07 * who.cheeks),  # cheekbones
        (17.0, 147, 3, 9, -0.07 - 0.06 * (not who.young)),  # folds beside the mouth
        (0.0, 165.5, 9, 3, -0.11),  # below the lips
        (0.0, 84, 26, 12, 0.06),  # forehead
        (17.0, 119, 7, 2.5, -0.03 - 0.11 * (not who.young)),  # bags under the eyes
    ]
