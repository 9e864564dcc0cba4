"""The parts of a drawn face, from back to front; each is a few shapes by one pen."""

from collections.abc import Callable

import numpy as np

from twinsplit.data.images.face_drawing import CENTRE, IRIS, Pen, Points, Rgb, Sitter, arc, mix, oval, palette

BLACK, WHITE, GOLD = (20.0, 18.0, 18.0), (245.0, 243.0, 238.0), (214.0, 178.0, 92.0)
MIDDLE = float(CENTRE[0])
EYES, BROWS, NOSE, MOUTH = 112.0, 101.0, 138.0, 156.0


def back_hair(pen: Pen, sitter: Sitter) -> None:
    if sitter.who.bald:
        return
    if sitter.who.male:
        pen.fill(oval(MIDDLE, 104, sitter.half_width + 5, 52), sitter.hair)
        return
    wide = sitter.half_width + 13
    wave = 3.0 * sitter.who.wavy * np.sin(np.linspace(0, 9 * np.pi, 21))
    down = np.linspace(105, 215, 21)
    left = np.stack([MIDDLE - wide + wave, down], axis=1)
    right = np.stack([MIDDLE + wide - wave, down], axis=1)
    pen.fill(np.concatenate([oval(MIDDLE, 108, wide, 60, 180, 360), right, left[::-1]]), mix(sitter.hair, BLACK, 0.15))


def body(pen: Pen, sitter: Sitter) -> None:
    clothes = tuple(30 + 200 * level for level in sitter.how.clothes)
    neck = 17.0 + 6 * sitter.who.male + 4 * sitter.who.width
    pen.fill(oval(MIDDLE, 250, 82 + 8 * sitter.who.male, 58), (clothes[0], clothes[1], clothes[2]))
    pen.fill(
        np.array([[MIDDLE - neck, 160], [MIDDLE + neck, 160], [MIDDLE + neck + 4, 203], [MIDDLE - neck - 4, 203]]),
        mix(sitter.skin, BLACK, 0.22),
    )
    pen.fill(oval(MIDDLE, 198, neck + 6, 13), mix(sitter.skin, BLACK, 0.14))
    if sitter.how.necktie:
        pen.fill(np.array([[MIDDLE - 26, 196], [MIDDLE, 222], [MIDDLE + 26, 196], [MIDDLE + 34, 225], [MIDDLE - 34, 225]]), WHITE)
        pen.fill(
            np.array([[MIDDLE - 6, 204], [MIDDLE + 6, 204], [MIDDLE + 9, 225], [MIDDLE - 9, 225]]),
            (120, 24 + 60 * sitter.how.clothes[0], 40),
        )
    if sitter.how.necklace:
        pen.line(arc((MIDDLE - neck - 2, 188), 9, (MIDDLE + neck + 2, 188)), GOLD, 1.6)


def ears(pen: Pen, sitter: Sitter) -> None:
    for side in (-1, 1):
        x = MIDDLE + side * (sitter.half_width - 1)
        pen.fill(oval(x, 120, 6, 12), mix(sitter.skin, BLACK, 0.12), -0.35)
        pen.line(oval(x, 120, 3, 8, 90, 270), mix(sitter.skin, BLACK, 0.3), 0.8, -0.35)
        if sitter.how.earrings:
            pen.fill(oval(x, 136, 2.6, 3.6), GOLD, -0.35)


def head(pen: Pen, sitter: Sitter) -> None:
    pen.fill(sitter.outline(), sitter.skin)


def cheeks(pen: Pen, sitter: Sitter) -> None:
    if sitter.who.makeup > 0.8:
        for side in (-1, 1):
            pen.fill(oval(MIDDLE + side * 25, 136, 9, 6), mix(sitter.skin, (226, 110, 110), 0.3), 0.45)


def beard(pen: Pen, sitter: Sitter) -> None:
    kind, chin = sitter.who.beard, float(CENTRE[1]) + sitter.half_height
    if kind in ("shadow", "full"):
        low = sitter.outline(0.5)[:21]
        low = low[low[:, 1] > 128]
        inner = oval(MIDDLE, 143, 0.72 * sitter.half_width, 16, 0, 180)[::-1]
        pen.fill(np.concatenate([low, inner]), mix(sitter.skin, sitter.hair, 0.75 if kind == "full" else 0.22), 0.15)
    if kind in ("goatee", "full"):
        pen.fill(oval(MIDDLE, chin - 10, 12, 11), mix(sitter.skin, sitter.hair, 0.8), 0.45)
    if kind in ("moustache", "full"):
        pen.fill(
            np.concatenate([arc((MIDDLE - 17, 153), -8, (MIDDLE + 17, 153)), arc((MIDDLE + 17, 153), -3, (MIDDLE - 17, 153))]),
            sitter.hair,
            0.65,
        )


def eyes(pen: Pen, sitter: Sitter) -> None:
    who = sitter.who
    wide, high = 8.2 + 0.8 * who.eyes, (2.0 if who.eyes < 0.2 else 3.0) + 1.8 * who.eyes
    lid = mix(BLACK, sitter.skin, 0.25 if who.makeup < 0.4 else 0.0)
    for side in (-1, 1):
        x = MIDDLE + side * sitter.eye_distance
        if who.makeup > 0.6:
            pen.fill(oval(x, EYES - 3, wide + 1.5, high + 2, 180, 360), mix(sitter.skin, (96, 70, 104), 0.5), 0.5)
        pen.fill(oval(x, EYES, wide, high), WHITE, 0.5)
        _iris(pen, x + 1.5 * sitter.how.yaw, min(high, 4.0), palette(IRIS, who.iris))
        pen.line(oval(x, EYES, wide, high, 185, 355), lid, 1.1 + 0.9 * who.makeup, 0.5)
        pen.line(oval(x, EYES - 0.5, wide + 1, high + 3.2, 210, 330), mix(sitter.skin, BLACK, 0.3), 0.7, 0.5)
        pen.line(oval(x, EYES, wide, high, 20, 160), mix(sitter.skin, BLACK, 0.35), 0.6, 0.5)


def _iris(pen: Pen, x: float, high: float, colour: Rgb) -> None:
    pen.fill(oval(x, EYES, 3.9, min(3.9, high)), colour, 0.5)
    pen.fill(oval(x, EYES, 1.9, min(1.9, high)), BLACK, 0.5)
    pen.fill(oval(x + 1.2, EYES - 1.2, 0.8, 0.8), WHITE, 0.5)


def brows(pen: Pen, sitter: Sitter) -> None:
    who = sitter.who
    thick = 1.2 + 2.6 * who.brows + 0.7 * who.male
    arched = 5.0 if not who.male and who.brows < 0.5 else 2.5
    for side in (-1, 1):
        x = MIDDLE + side * sitter.eye_distance
        upper = arc((x - 11, BROWS + 1.0 - side), -arched - thick / 2, (x + 11, BROWS + 1.0 + side))
        lower = arc((x + 11, BROWS + 1.0 + side), -arched + thick / 2, (x - 11, BROWS + 1.0 - side))
        pen.fill(np.concatenate([upper, lower]), mix(mix(sitter.hair, BLACK, 0.35), sitter.skin, 0.2), 0.5)


def nose(pen: Pen, sitter: Sitter) -> None:
    half = 5.0 + 3.2 * sitter.who.nose
    dark, darker = mix(sitter.skin, BLACK, 0.18), mix(sitter.skin, BLACK, 0.55)
    for side in (-1, 1):
        pen.line(oval(MIDDLE + side * half, NOSE + 2, 3, 4, 270 - 90 * side, 270 + 180 * side), dark, 1.0, 0.9)
        pen.fill(oval(MIDDLE + side * half * 0.55, NOSE + 5, 2.0, 1.1), darker, 0.9)
    pen.line(arc((MIDDLE - half * 0.5, NOSE + 6), 1.5, (MIDDLE + half * 0.5, NOSE + 6)), dark, 1.0, 0.9)


def mouth(pen: Pen, sitter: Sitter) -> None:
    who, how = sitter.who, sitter.how
    wide, full, smile = 13.0 + 5 * how.smile, 2.4 + 2.8 * who.lips, 7 * (how.smile - 0.3)
    gap = 9.0 * (how.opening - 0.55) / 0.45 if how.opening > 0.55 else 0.0
    red = (178, 34, 60) if who.makeup > 0.4 else (176, 92, 88)
    lips = mix(sitter.skin, red, 0.8 if who.makeup > 0.4 else 0.45)
    left, right = (MIDDLE - wide, MOUTH - smile / 2), (MIDDLE + wide, MOUTH - smile / 2)
    upper, lower = arc(left, smile / 2 - gap / 4, right), arc(left, smile / 2 + gap * 0.75, right)
    pen.fill(np.concatenate([_cupid(left, smile / 2 - full, right), lower[::-1]]), mix(lips, BLACK, 0.08), 0.55)
    pen.fill(np.concatenate([upper, arc(right, smile / 2 + gap * 0.75 + full * 1.2, left)]), lips, 0.55)
    if gap:
        pen.fill(np.concatenate([upper, lower[::-1]]), (70, 22, 26), 0.55)
        pen.fill(np.concatenate([upper, arc(right, smile / 2 + gap * 0.35, left)]), WHITE, 0.55)
    pen.line(upper, mix(lips, BLACK, 0.5), 0.8, 0.55)


def _cupid(left: tuple[float, float], bend: float, right: tuple[float, float]) -> Points:
    """The upper lip's edge: an arc with a small dip in the middle."""
    edge = arc(left, bend, right)
    edge[len(edge) // 2, 1] += 1.2
    return edge


def wrinkles(pen: Pen, sitter: Sitter) -> None:
    if not sitter.who.young:
        for height in (82, 88, 94):
            pen.line(arc((MIDDLE - 18, height), -2, (MIDDLE + 18, height)), mix(sitter.skin, BLACK, 0.16), 0.8, 0.4)


def front_hair(pen: Pen, sitter: Sitter) -> None:
    who, wide = sitter.who, sitter.half_width + 2.5
    if who.bald:
        return
    temple, line = (104.0, 96.0) if sitter.how.bangs else (100.0, 70.0 if who.receding else 80.0)
    crown = oval(MIDDLE, temple, wide, temple - 54 + 2 * (not who.male), 180, 360)
    hairline = arc((MIDDLE + wide, temple), 1.0 * (line - temple), (MIDDLE - wide, temple))
    pen.fill(np.concatenate([crown, hairline]), sitter.hair, 0.05)
    part = 0.4 if who.number % 2 else -0.4
    for k in range(9):
        x = MIDDLE + wide * (k - 4) / 4.6
        strand = arc((MIDDLE + part * wide, 58), -3.0, (x, line + abs(k - 4) * 1.5))
        pen.line(strand[: 11 if who.wavy else 13], mix(sitter.hair, WHITE if k % 2 else BLACK, 0.14), 0.9, 0.05)


def hat(pen: Pen, sitter: Sitter) -> None:
    if sitter.how.hat:
        wide = sitter.half_width + 8
        cloth = tuple(40 + 150 * level for level in sitter.how.background[-3:])
        pen.fill(oval(MIDDLE, 84, wide, 48, 180, 360), (cloth[0], cloth[1], cloth[2]))
        pen.fill(oval(MIDDLE, 84, wide + 10, 7), mix((cloth[0], cloth[1], cloth[2]), BLACK, 0.3), 0.1)


def glasses(pen: Pen, sitter: Sitter) -> None:
    if not sitter.how.glasses:
        return
    frame = palette((BLACK, (90, 60, 40), (60, 60, 70), (130, 20, 30)), sitter.who.iris)
    for side in (-1, 1):
        x = MIDDLE + side * (sitter.eye_distance + 0.5)
        pen.line(oval(x, EYES + 1.5, 14.0, 10.5), frame, 2.2, 0.6)
        pen.line(np.array([[x + side * 14, EYES - 1], [MIDDLE + side * sitter.half_width, EYES - 2]]), frame, 2.0, 0.3)
    pen.line(arc((MIDDLE - sitter.eye_distance + 13, EYES), -3, (MIDDLE + sitter.eye_distance - 13, EYES)), frame, 2.0, 0.7)


Part = Callable[[Pen, Sitter], None]
BEHIND: tuple[Part, ...] = (back_hair, body, ears)
FRONT: tuple[Part, ...] = (head, wrinkles, cheeks, beard, eyes, brows, nose, mouth, front_hair, hat, glasses)
