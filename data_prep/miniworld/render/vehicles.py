"""Shapes of vehicles with four and more wheels, built to the exact width, length and height of their box (meters).

Every shape touches all six sides of its box and stays inside it, so a projected 3D box fits the painted pixels. Lamps
are larger than real ones: a brake light must still be a red pixel in a 160x90 image.
"""

import numpy as np

from data_prep.miniworld.render.shapes import Material, Shape, ShapeBuilder

FRONT, LEFT, BACK, RIGHT = range(4)  # order of the sides returned by `ShapeBuilder.box`


def car(width: float, length: float, height: float, style: int) -> Shape:
    """A car in one of three styles: 0 sedan, 1 hatchback, 2 station wagon or SUV."""
    b = ShapeBuilder()
    half, sill, belt = length / 2, 0.14 * height, 0.60 * height
    boot = (0.55, 0.60, 0.60)[style] * height
    radius = 0.215 * height + 0.02
    _tire_ends(b, width, (-0.30 * length, 0.31 * length), radius)
    b.part(1)
    profile = [
        (-half, sill),
        (-half, 0.48 * height),
        (-0.47 * length, boot),
        (-0.32 * length, belt),
        (0.16 * length, belt),
        (0.45 * length, 0.50 * height),
        (half, 0.40 * height),
        (half, sill),
    ]
    b.extrude(Material.PAINT, profile, -width / 2, width / 2, inset=0.03 * width)
    _wheels(b, width, (-0.30 * length, 0.31 * length), radius)
    y = width / 2
    back = _upright(-half, -y, y, sill, 0.50 * height)
    front = _upright(half, y, -y, sill, 0.42 * height)
    _rear_lamps(b, back, (0.0, 0.27), (0.55, 0.99))
    b.patch(Material.TRIM, back, 0.05, 0.95, 0.0, 0.22)
    b.patch(Material.PLATE, back, 0.38, 0.62, 0.30, 0.55)
    _head_lamps(b, front, 0.24, (0.55, 0.95))
    b.patch(Material.TRIM, front, 0.28, 0.72, 0.40, 0.85)
    b.patch(Material.TRIM, front, 0.06, 0.94, 0.0, 0.25)
    b.patch(Material.PLATE, front, 0.38, 0.62, 0.12, 0.34)
    _cabin(b, width, length, height, style, belt)
    return b.shape()


def _cabin(b: ShapeBuilder, width, length, height, style, belt) -> None:
    """The cabin of a car with its windows, pillars and the third brake lamp."""
    rear = (-0.42, -0.475, -0.485)[style] * length
    roof_rear = (-0.22, -0.34, -0.44)[style] * length
    b.part(2)
    bottom = (rear, 0.20 * length, -0.465 * width, 0.465 * width, belt)
    top = (roof_rear, 0.03 * length, -0.385 * width, 0.385 * width, height)
    sides = b.frustum(Material.PAINT, bottom, top)
    b.patch(Material.GLASS, sides[FRONT], 0.05, 0.95, 0.06, 0.90)
    b.patch(Material.GLASS, sides[BACK], 0.08, 0.92, 0.22, 0.88)
    b.patch(Material.TAIL_LAMP, sides[BACK], 0.36, 0.64, 0.88, 0.99)
    for side, cut in ((sides[LEFT], 0.46), (sides[RIGHT], 0.54)):
        b.patch(Material.GLASS, side, 0.07, cut - 0.02, 0.08, 0.86)
        b.patch(Material.GLASS, side, cut + 0.02, 0.93, 0.08, 0.86)


def bus(width: float, length: float, height: float) -> Shape:
    """A city bus: one long box with rows of windows, doors on the right, a destination sign."""
    b = ShapeBuilder()
    half, y, floor = length / 2, width / 2, 0.10 * height
    axles = (-0.27 * length, 0.29 * length)
    _tire_ends(b, width, axles, 0.16 * height)
    b.part(1)
    sides = b.box(Material.PAINT, -half, half, -y, y, floor, height)
    for side in (sides[LEFT], sides[RIGHT]):
        b.patch(Material.CARGO, side, 0.0, 1.0, 0.0, 0.16)
        windows = max(4, round(length / 1.8))
        for i in range(windows):
            b.patch(Material.GLASS, side, (i + 0.10) / windows, (i + 0.90) / windows, 0.44, 0.84)
    for u0 in (0.40, 0.86):
        b.patch(Material.TRIM, sides[RIGHT], u0, u0 + 0.10, 0.02, 0.84)
        b.patch(Material.GLASS, sides[RIGHT], u0 + 0.008, u0 + 0.046, 0.06, 0.80)
        b.patch(Material.GLASS, sides[RIGHT], u0 + 0.054, u0 + 0.092, 0.06, 0.80)
    b.patch(Material.GLASS, sides[FRONT], 0.04, 0.96, 0.30, 0.82)
    b.patch(Material.TRIM, sides[FRONT], 0.10, 0.90, 0.85, 0.97)
    _head_lamps(b, sides[FRONT], 0.20, (0.10, 0.20))
    b.patch(Material.GLASS, sides[BACK], 0.12, 0.88, 0.50, 0.84)
    b.patch(Material.TRIM, sides[BACK], 0.16, 0.84, 0.12, 0.36)
    _rear_lamps(b, sides[BACK], (0.01, 0.15), (0.14, 0.36))
    b.patch(Material.TAIL_LAMP, sides[BACK], 0.40, 0.60, 0.88, 0.95)
    _wheels(b, width, axles, 0.16 * height)
    return b.shape()


def truck(width: float, length: float, height: float, style: int) -> Shape:
    """A truck: cab in front of a closed box (style 0) or of a flat bed with a load (style 1)."""
    b = ShapeBuilder()
    half, y, bed = length / 2, width / 2, 0.26 * height
    split = half - min(2.3, 0.33 * length)
    radius = min(0.52, 0.17 * height)
    axles = (-0.30 * length, half - 0.55 * (half - split))
    _tire_ends(b, width, axles, radius)
    b.part(1)
    top = height if style == 0 else 0.62 * height
    cargo = b.box(Material.CARGO, -half, split - 0.12, -y, y, bed, top)
    b.patch(Material.TRIM, cargo[LEFT], 0.0, 1.0, 0.0, 0.05)
    b.patch(Material.TRIM, cargo[RIGHT], 0.0, 1.0, 0.0, 0.05)
    b.patch(Material.TRIM, cargo[BACK], 0.485, 0.515, 0.22, 0.97)
    b.patch(Material.WHITE, cargo[BACK], 0.05, 0.95, 0.17, 0.20)
    _rear_lamps(b, cargo[BACK], (0.0, 0.20), (0.0, 0.15))
    b.patch(Material.PLATE, cargo[BACK], 0.40, 0.60, 0.02, 0.12)
    _wheels(b, width, axles[:1], radius)
    b.part(1)
    cab_top = 0.86 * height if style == 0 else height
    cab = b.frustum(
        Material.PAINT, (split, half, -y, y, 0.13 * height), (split, half - 0.12, -0.96 * y, 0.96 * y, cab_top)
    )
    b.patch(Material.GLASS, cab[FRONT], 0.05, 0.95, 0.52, 0.92)
    b.patch(Material.TRIM, cab[FRONT], 0.15, 0.85, 0.18, 0.46)
    _head_lamps(b, cab[FRONT], 0.22, (0.06, 0.16))
    b.patch(Material.GLASS, cab[LEFT], 0.12, 0.72, 0.54, 0.90)
    b.patch(Material.GLASS, cab[RIGHT], 0.28, 0.88, 0.54, 0.90)
    _wheels(b, width, axles[1:], radius)
    return b.shape()


def trailer(width: float, length: float, height: float) -> Shape:
    """A box trailer without a cab."""
    b = ShapeBuilder()
    radius = min(0.5, 0.16 * height)
    axles = (-0.32 * length, -0.18 * length)
    _tire_ends(b, width, axles, radius)
    b.part(1)
    sides = b.box(Material.CARGO, -length / 2, length / 2, -width / 2, width / 2, 0.24 * height, height)
    _rear_lamps(b, sides[BACK], (0.0, 0.20), (0.0, 0.14))
    b.patch(Material.TRIM, sides[BACK], 0.485, 0.515, 0.20, 0.97)
    _wheels(b, width, axles, radius)
    return b.shape()


def excavator(width: float, length: float, height: float) -> Shape:
    """An excavator: tracks, a rotating upper body with a cab, and a raised arm."""
    b = ShapeBuilder()
    half, y = length / 2, width / 2
    for side in (-1, 1):
        b.part(0)
        b.box(Material.TIRE, -half, 0.2 * length, side * y, side * 0.62 * y, 0.0, 0.26 * height)
    b.part(1)
    b.box(Material.ORANGE, -0.48 * length, 0.12 * length, -0.92 * y, 0.92 * y, 0.28 * height, 0.62 * height)
    b.part(2)
    cab = b.box(Material.ORANGE, -0.22 * length, 0.10 * length, 0.05 * y, 0.90 * y, 0.62 * height, height)
    for side in cab:
        b.patch(Material.GLASS, side, 0.10, 0.90, 0.15, 0.85)
    b.part(1)
    arm = [(0.10, 0.50), (0.30, 0.90), (0.34, 0.96), (0.38, 0.90), (0.14, 0.40)]
    b.extrude(Material.ORANGE, [(u * length, v * height) for u, v in arm], -0.35 * y, -0.05 * y)
    b.part(1)
    fore = [(0.34, 0.96), (0.40, 0.92), (0.49, 0.26), (0.44, 0.24)]
    b.extrude(Material.ORANGE, [(u * length, v * height) for u, v in fore], -0.32 * y, -0.08 * y)
    b.part(1)
    b.box(Material.TRIM, 0.38 * length, half, -0.55 * y, 0.15 * y, 0.04 * height, 0.26 * height)
    return b.shape()


def _upright(x, y0, y1, z0, z1):
    """The upright rectangle at x, its corners in the order of `ShapeBuilder.patch`."""
    return np.array([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)])


def _tire_ends(b: ShapeBuilder, width, axles, radius) -> None:
    """The parts of the tires that are visible below the body from the front and from behind."""
    y, tread = width / 2, 0.13 * width
    for x in axles:
        for side in (-1, 1):
            b.part(0)
            b.box(Material.TIRE, x - 0.6 * radius, x + 0.6 * radius, side * y, side * (y - tread), 0.0, 0.8 * radius)


def _wheels(b: ShapeBuilder, width, axles, radius) -> None:
    """Tires and rims on both sides."""
    for x in axles:
        for y in (-width / 2, width / 2):
            b.disc(Material.TIRE, (x, y, radius), radius)
            b.disc(Material.RIM, (x, y, radius), 0.58 * radius, is_detail=True)


def _rear_lamps(b: ShapeBuilder, back, across, up) -> None:
    """Tail lamps with the blinkers above them, on the rear face `back` [4, 3]; `across`, `up`: ranges on it, 0 to 1."""
    (u0, u1), (v0, v1) = across, up
    split = v0 + 0.62 * (v1 - v0)
    ends = ((Material.LEFT_LAMP, u0, u1), (Material.RIGHT_LAMP, 1 - u1, 1 - u0))
    if back[0][1] < back[1][1]:
        ends = ((Material.RIGHT_LAMP, u0, u1), (Material.LEFT_LAMP, 1 - u1, 1 - u0))
    for blinker, start, stop in ends:
        b.patch(Material.TAIL_LAMP, back, start, stop, v0, split)
        b.patch(blinker, back, start, stop, split, v1)


def _head_lamps(b: ShapeBuilder, front, share, up) -> None:
    """Head lamps with the blinkers at their outer ends, on the front face [4, 3]."""
    v0, v1 = up
    right_first = front[0][1] < front[1][1]
    for start, stop, is_first in ((0.02, 0.02 + share, True), (0.98 - share, 0.98, False)):
        b.patch(Material.HEAD_LAMP, front, start, stop, v0, v1)
        blinker = Material.RIGHT_LAMP if is_first == right_first else Material.LEFT_LAMP
        outer = (start, start + 0.3 * share) if is_first else (stop - 0.3 * share, stop)
        b.patch(blinker, front, *outer, v0, v1)
