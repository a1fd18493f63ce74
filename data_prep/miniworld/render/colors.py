"""The colors of agents, signals and trees by material, BGR 0 to 255, before lighting and haze.

An agent's `paint` number picks its entries of the tables, so one number decides the looks of a car or a person.
"""

from functools import lru_cache

import numpy as np

from data_prep.miniworld.render.shapes import Material

PAINTS = (
    (232, 232, 230), (205, 205, 202), (150, 150, 148), (92, 92, 94), (44, 42, 42), (34, 30, 150), (40, 40, 196),
    (150, 78, 28), (120, 52, 22), (190, 150, 60), (70, 112, 40), (52, 150, 210), (96, 128, 168), (120, 140, 90),
)  # fmt: skip
BUS_PAINTS = ((40, 170, 230), (60, 60, 200), (170, 110, 40), (90, 150, 60), (225, 225, 225))
CARGO_PAINTS = ((225, 228, 230), (200, 190, 170), (70, 110, 170), (150, 90, 50), (120, 150, 110))
SHIRTS = (
    (60, 60, 190), (190, 120, 50), (60, 140, 70), (40, 180, 220), (220, 220, 220), (60, 60, 62), (140, 70, 130),
    (90, 130, 200), (200, 180, 90), (110, 110, 115),
)  # fmt: skip
TROUSERS = ((110, 70, 40), (60, 55, 55), (85, 110, 135), (45, 45, 90), (120, 120, 120))
SKINS = ((150, 185, 225), (110, 150, 200), (70, 100, 150), (45, 65, 100))
HAIRS = ((30, 35, 45), (35, 60, 95), (60, 120, 170), (110, 110, 115))
LEAVES = ((52, 104, 66), (46, 92, 74), (60, 120, 92), (44, 84, 52))

_FIXED = {
    Material.TRIM: (46, 45, 45),
    Material.GLASS: (98, 82, 66),
    Material.TIRE: (34, 33, 33),
    Material.RIM: (165, 165, 165),
    Material.PLATE: (225, 225, 225),
    Material.TAIL_LAMP: (30, 24, 128),
    Material.LEFT_LAMP: (60, 110, 165),
    Material.RIGHT_LAMP: (60, 110, 165),
    Material.HEAD_LAMP: (232, 236, 236),
    Material.SHOES: (42, 42, 44),
    Material.ORANGE: (30, 112, 240),
    Material.WHITE: (235, 235, 235),
    Material.POLE: (110, 112, 112),
    Material.HOUSING: (32, 32, 30),
    Material.RED_LAMP: (26, 24, 62),
    Material.YELLOW_LAMP: (26, 52, 62),
    Material.GREEN_LAMP: (44, 58, 26),
    Material.BARK: (52, 72, 92),
}
LIT = {  # lamps that are on
    Material.TAIL_LAMP: (70, 60, 255),
    Material.LEFT_LAMP: (40, 170, 255),
    Material.RIGHT_LAMP: (40, 170, 255),
    Material.RED_LAMP: (60, 50, 255),
    Material.YELLOW_LAMP: (40, 205, 255),
    Material.GREEN_LAMP: (140, 255, 60),
}
FIXED_TABLE = np.zeros((len(Material), 3), np.float32)  # by material; zero for what depends on the agent or tree
for _material, _color in _FIXED.items():
    FIXED_TABLE[_material] = _color


@lru_cache(maxsize=4096)
def agent_table(category: str, paint: int) -> np.ndarray:
    """Color of every material [materials, 3] of an agent with this nuScenes category and paint number."""
    table = FIXED_TABLE.copy()
    paints = BUS_PAINTS if ".bus" in category else PAINTS
    table[Material.PAINT] = paints[paint % len(paints)]
    cargo = CARGO_PAINTS[(paint // 3) % len(CARGO_PAINTS)]
    table[Material.CARGO] = 0.7 * table[Material.PAINT] if ".bus" in category else cargo
    table[Material.SHIRT] = SHIRTS[paint % len(SHIRTS)]
    table[Material.TROUSERS] = TROUSERS[(paint // 2) % len(TROUSERS)]
    table[Material.SKIN] = SKINS[(paint // 5) % len(SKINS)]
    hair = PAINTS[(paint + 5) % len(PAINTS)] if "cycle" in category else HAIRS[(paint // 7) % len(HAIRS)]
    table[Material.HAIR] = hair
    return table


@lru_cache(maxsize=8)
def tree_table(tone: int) -> np.ndarray:
    """Color of every material [materials, 3] of a tree; tone: index into LEAVES."""
    table = FIXED_TABLE.copy()
    table[Material.LEAVES] = LEAVES[tone]
    return table
