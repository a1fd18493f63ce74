"""What stands in the town besides its houses: trees on the grass, the same ones in every scene."""

from typing import NamedTuple

import numpy as np
import shapely

from dima_jax.world.state import Town

SPACING = 8.0  # metres between neighbouring trees, about
REACH = 26.0  # trees farther from the road are never seen well


class Tree(NamedTuple):
    """One tree: its foot (x, y), height and crown radius, metres, and a number for its colour."""

    x: float
    y: float
    height: float
    crown: float
    tone: int


def plant_trees(town: Town) -> tuple[Tree, ...]:
    """Trees beside the streets, clear of houses, walkways and carriageways."""
    rng = np.random.default_rng(3)
    roads = shapely.union_all([shapely.Polygon(p.exterior, p.holes) for p in town.drivable])
    walks = shapely.union_all([shapely.Polygon(p.exterior, p.holes) for p in town.walkways])
    houses = shapely.STRtree([shapely.Polygon(outline) for outline, _ in town.buildings])
    ways = shapely.union_all([roads, walks])
    shapely.prepare(ways)
    trees = []
    for x in np.arange(SPACING / 2, town.size[0], SPACING):
        for y in np.arange(SPACING / 2, town.size[1], SPACING):
            foot = np.array([x, y]) + rng.uniform(-0.4, 0.4, 2) * SPACING
            height, crown, tone = rng.uniform(4.5, 9.0), rng.uniform(1.3, 2.4), int(rng.integers(4))
            point = shapely.Point(foot)
            way = ways.distance(point)
            near_house = len(houses.query(point, predicate="dwithin", distance=crown + 0.4)) > 0
            if 0.7 * crown < way < REACH and not near_house and rng.random() < 0.55:
                trees.append(Tree(float(foot[0]), float(foot[1]), float(height), float(crown), tone))
    return tuple(trees)
