"""Shapes of people on foot, on bicycles and on motorcycles, built to the exact size of their box (meters)."""

import math

import numpy as np

from data_prep.miniworld.render.shapes import Material, Shape, ShapeBuilder, octagon

STRIDE_PHASES = 8  # poses of the walking cycle


def pedestrian(width: float, length: float, height: float, phase: int) -> Shape:
    """A person on foot facing +x. phase: 0 standing; 1 to STRIDE_PHASES one walking cycle of two steps."""
    b = ShapeBuilder()
    swing = math.sin(2 * math.pi * phase / STRIDE_PHASES) if phase else 0.0
    hip, shoulder, neck = 0.47 * height, 0.80 * height, 0.865 * height
    leg, reach = 0.19 * width, 0.5 * length - 0.15 * length
    for side in (-1, 1):
        foot = side * swing * reach
        y = side * 0.17 * width
        b.part(0)
        low = (foot - 0.10 * length, foot + 0.10 * length, y - 0.8 * leg, y + 0.8 * leg, 0.04 * height)
        b.frustum(Material.TROUSERS, low, (-0.15 * length, 0.15 * length, y - leg, y + leg, hip))
        b.part(0)
        b.box(
            Material.SHOES, foot - 0.14 * length, foot + 0.15 * length, y - 0.8 * leg, y + 0.8 * leg, 0.0, 0.05 * height
        )
    b.part(1)
    chest = 0.34 * width
    low = (-0.17 * length, 0.17 * length, -0.85 * chest, 0.85 * chest, 0.94 * hip)
    b.frustum(Material.SHIRT, low, (-0.19 * length, 0.19 * length, -chest, chest, shoulder))
    b.part(2)
    low = (-0.18 * length, 0.18 * length, -chest, chest, shoulder)
    b.frustum(Material.SHIRT, low, (-0.10 * length, 0.10 * length, -0.3 * chest, 0.3 * chest, neck))
    for side in (-1, 1):
        hand = -side * swing * 0.8 * reach
        inner, outer = side * chest, side * 0.5 * width
        b.part(1)
        low = (hand - 0.09 * length, hand + 0.09 * length, inner + 0.02 * side * width, outer, 0.48 * height)
        b.frustum(Material.SHIRT, low, (-0.13 * length, 0.13 * length, 0.9 * inner, 0.92 * outer, 0.99 * shoulder))
        b.part(1)
        hand_box = (hand - 0.08 * length, hand + 0.08 * length, inner + 0.03 * side * width, outer)
        b.box(Material.SKIN, *hand_box, 0.43 * height, 0.48 * height)
    _head(b, 0.01 * length, 0.0, 0.86 * height, height)
    return b.shape()


def cyclist(width: float, length: float, height: float) -> Shape:
    """A bicycle with its rider."""
    b = ShapeBuilder()
    wheel = 0.19 * length
    axles = (wheel - 0.5 * length, 0.5 * length - wheel)
    _thin_wheels(b, axles, wheel, 0.02)
    b.part(0)
    frame = [(axles[0], wheel), (0.0, 0.8 * wheel), (0.20 * length, 2.4 * wheel), (-0.14 * length, 2.4 * wheel)]
    b.extrude(Material.PAINT, frame, -0.025, 0.025)
    b.part(0)
    steer = 0.5 * length - 1.1 * wheel
    b.extrude(
        Material.PAINT, [(axles[1] + 0.03, wheel), (steer, 0.60 * height), (steer - 0.05, 0.60 * height)], -0.025, 0.025
    )
    b.part(1)
    b.box(Material.TRIM, steer - 0.08, steer - 0.02, -0.5 * width, 0.5 * width, 0.585 * height, 0.61 * height)
    seat = 0.52 * height
    _rider(
        b, width, height, seat=(-0.13 * length, seat), hands=(steer - 0.05, 0.60 * height), feet=(0.02, 0.16 * height)
    )
    return b.shape()


def motorcyclist(width: float, length: float, height: float) -> Shape:
    """A motorcycle with its rider, who wears a helmet."""
    b = ShapeBuilder()
    wheel = 0.155 * length
    axles = (wheel - 0.5 * length, 0.5 * length - wheel)
    _thin_wheels(b, axles, wheel, 0.07)
    b.part(0)
    body = [
        (-0.46 * length, 0.50 * height),
        (-0.22 * length, 0.17 * height),
        (0.12 * length, 0.15 * height),
        (0.26 * length, 0.52 * height),
        (0.08 * length, 0.60 * height),
    ]
    b.extrude(Material.PAINT, body, -0.19 * width, 0.19 * width, inset=0.04 * width)
    b.part(1)
    lamp = b.box(
        Material.TRIM, -0.47 * length, -0.42 * length, -0.17 * width, 0.17 * width, 0.42 * height, 0.54 * height
    )
    b.patch(Material.TAIL_LAMP, lamp[2], 0.05, 0.95, 0.0, 1.0)
    for side, material in ((1, Material.LEFT_LAMP), (-1, Material.RIGHT_LAMP)):
        y0, y1 = side * 0.17 * width, side * 0.30 * width
        b.part(1)
        b.box(material, -0.46 * length, -0.42 * length, y0, y1, 0.44 * height, 0.52 * height)
    b.part(1)
    nose = b.box(
        Material.PAINT, 0.22 * length, 0.30 * length, -0.17 * width, 0.17 * width, 0.46 * height, 0.64 * height
    )
    b.patch(Material.HEAD_LAMP, nose[0], 0.1, 0.9, 0.1, 0.8)
    b.part(1)
    b.box(Material.TRIM, 0.17 * length, 0.20 * length, -0.5 * width, 0.5 * width, 0.62 * height, 0.65 * height)
    hands = (0.17 * length, 0.62 * height)
    _rider(b, width, height, seat=(-0.16 * length, 0.55 * height), hands=hands, feet=(-0.04 * length, 0.18 * height))
    return b.shape()


def _thin_wheels(b: ShapeBuilder, axles, radius, half_width) -> None:
    for x in axles:
        b.part(0)
        b.extrude(Material.TIRE, octagon(radius / 0.96) + np.array([x, radius]), -half_width, half_width)
        for y in (-half_width, half_width):
            b.disc(Material.RIM, (x, y, radius), 0.68 * radius, is_detail=True)


def _rider(b: ShapeBuilder, width, height, seat, hands, feet) -> None:
    """A rider: seat, hands and feet are (x, z) positions; the head reaches `height`."""
    (sx, sz), (hx, hz), (fx, fz) = seat, hands, feet
    shoulder = (sx + 0.40 * (hx - sx), 0.84 * height)
    for side in (-1, 1):
        y0, y1 = side * 0.10 * width, side * 0.33 * width
        knee = (0.5 * (sx + hx), 0.5 * (sz + fz) + 0.04 * height)
        b.part(1)
        b.extrude(Material.TROUSERS, _limb((sx, sz), knee, 0.05 * height), y0, y1)
        b.part(0)
        b.extrude(Material.TROUSERS, _limb(knee, (fx, fz), 0.04 * height), y0, y1)
        b.part(0)
        b.box(Material.SHOES, fx - 0.05, fx + 0.16, y0, y1, fz - 0.05 * height, fz + 0.01 * height)
        b.part(2)
        b.extrude(Material.SHIRT, _limb(shoulder, (hx, hz), 0.035 * height), side * 0.36 * width, side * 0.47 * width)
    b.part(2)
    b.extrude(Material.SHIRT, _limb((sx, sz - 0.03 * height), shoulder, 0.065 * height), -0.36 * width, 0.36 * width)
    _head(b, shoulder[0] + 0.06, 0.0, 0.85 * height, height)


def _limb(start, end, half_thickness):
    """The side view of a straight limb from start to end, both (x, z)."""
    (x0, z0), (x1, z1) = start, end
    length = math.hypot(x1 - x0, z1 - z0)
    nx, nz = -(z1 - z0) / length * half_thickness, (x1 - x0) / length * half_thickness
    return [(x0 + nx, z0 + nz), (x0 - nx, z0 - nz), (x1 - nx, z1 - nz), (x1 + nx, z1 + nz)]


def _head(b: ShapeBuilder, x, y, z0, z1) -> None:
    """Face below, hair or helmet above and behind."""
    radius = 0.40 * (z1 - z0)
    b.part(3)
    b.column(Material.SKIN, x, y, 0.75 * radius, z0, z0 + 0.3 * (z1 - z0), radius)
    b.part(4)
    b.column(Material.SKIN, x, y, radius, z0 + 0.3 * (z1 - z0), z0 + 0.65 * (z1 - z0), radius)
    b.part(5)
    b.column(Material.HAIR, x - 0.1 * radius, y, 1.05 * radius, z0 + 0.62 * (z1 - z0), z1, 0.65 * radius)
    b.part(5)
    b.box(
        Material.HAIR,
        x - 1.1 * radius,
        x - 0.55 * radius,
        y - 0.8 * radius,
        y + 0.8 * radius,
        z0 + 0.2 * (z1 - z0),
        z1 - 0.05,
    )
