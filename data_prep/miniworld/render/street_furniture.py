"""Shapes of street furniture: cones, barriers, signal heads, trees, and a crate for all other objects."""

from data_prep.miniworld.render.shapes import Material, Shape, ShapeBuilder

SIGNAL_HEIGHT = 4.4  # top of a signal head: low enough to be seen from its own stop line, meters
SIGNAL_WIDTH = 0.9
LAMP_RADIUS = 0.30


def cone(width: float, length: float, height: float) -> Shape:
    """A traffic cone with two white rings. Sizes in meters, as for all shapes here."""
    b = ShapeBuilder()
    b.part(0)
    b.box(Material.ORANGE, -length / 2, length / 2, -width / 2, width / 2, 0.0, 0.08 * height)
    base = 0.38 * min(width, length)
    for level, (low, high) in enumerate(((0.08, 0.35), (0.35, 0.52), (0.52, 0.68), (0.68, 0.82), (0.82, 1.0))):
        b.part(level + 1)
        material = Material.WHITE if level in (1, 3) else Material.ORANGE
        b.column(material, 0.0, 0.0, base * (1.05 - low), low * height, high * height, base * (1.05 - high))
    return b.shape()


def barrier(width: float, length: float, height: float) -> Shape:
    """A road barrier with stripes, standing across its length axis as nuScenes annotates it (wide, short)."""
    b = ShapeBuilder()
    foot, y = length / 2, width / 2
    for side in (-1, 1):
        b.part(0)
        b.box(Material.TRIM, -foot, foot, side * y, side * 0.86 * y, 0.0, 0.12 * height)
    b.part(1)
    board = b.box(Material.WHITE, -0.3 * foot, 0.3 * foot, -y, y, 0.10 * height, height)
    for i in range(3):
        u = (2 * i + 0.5) / 6
        for side in (board[0], board[2]):
            b.patch(Material.ORANGE, side, u, u + 1 / 6, 0.25, 0.95)
    return b.shape()


def crate(width: float, length: float, height: float) -> Shape:
    """A plain box, for debris, racks, and every other category without a shape of its own."""
    b = ShapeBuilder()
    b.part(0)
    sides = b.box(Material.CARGO, -length / 2, length / 2, -width / 2, width / 2, 0.0, height)
    for side in sides:
        b.patch(Material.TRIM, side, 0.0, 1.0, 0.45, 0.55)
    return b.shape()


def signal() -> Shape:
    """A signal head on its pole, facing -x: red above yellow above green, on a dark board with a white edge."""
    b = ShapeBuilder()
    z0, half = SIGNAL_HEIGHT - 2.3, SIGNAL_WIDTH / 2
    b.part(0)
    b.column(Material.POLE, 0.0, 0.0, 0.08, 0.0, z0 + 0.2)
    b.part(1)
    face = b.box(Material.HOUSING, -0.20, 0.10, -half, half, z0, SIGNAL_HEIGHT)[2]
    b.patch(Material.WHITE, face, 0.0, 1.0, 0.0, 1.0)
    b.patch(Material.HOUSING, face, 0.07, 0.93, 0.025, 0.975)
    for material, height in ((Material.RED_LAMP, 1.93), (Material.YELLOW_LAMP, 1.15), (Material.GREEN_LAMP, 0.37)):
        b.disc(material, (-0.21, 0.0, z0 + height), LAMP_RADIUS, axis=0)
    return b.shape()


def tree(height: float, crown: float, is_far: bool) -> Shape:
    """A tree: a trunk and a crown of stacked tapering prisms with radius `crown`; a far one has fewer faces."""
    b = ShapeBuilder()
    b.part(0)
    b.column(Material.BARK, 0.0, 0.0, 0.16, 0.0, 0.42 * height, 0.12)
    near = ((0.30, 0.48, 0.55, 1.0), (0.48, 0.72, 1.0, 0.88), (0.72, 0.90, 0.88, 0.55), (0.90, 1.0, 0.55, 0.15))
    far = ((0.30, 0.48, 0.55, 1.0), (0.48, 0.78, 1.0, 0.8), (0.78, 1.0, 0.8, 0.2))
    for level, (low, high, r0, r1) in enumerate(far if is_far else near):
        b.part(level + 1)
        b.column(
            Material.LEAVES, 0.0, 0.0, r0 * crown, low * height, high * height, r1 * crown, sides=5 if is_far else 7
        )
    return b.shape()
