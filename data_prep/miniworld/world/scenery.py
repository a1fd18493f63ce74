"""What stands in the town besides its houses: trees on the grass, the same ones in every scene."""

from typing import NamedTuple

import numpy as np
import shapely

from data_prep.miniworld.world.memo import once_per_town
from data_prep.miniworld.world.state import Town

SPACING = 8.0  # meters between neighboring trees, about
REACH = 26.0  # trees farther from the road are never seen well


class Trees(NamedTuple):
    """All trees. feet [T, 2], heights [T], crowns [T] (radius), meters; tones [T]: a number for the color."""

    feet: np.ndarray
    heights: np.ndarray
    crowns: np.ndarray
    tones: np.ndarray


@once_per_town
def trees_of(town: Town) -> Trees:
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
                trees.append((*foot, round(height, 1), round(crown, 1), tone))
    table = np.array(trees).reshape(-1, 5)
    return Trees(table[:, :2], table[:, 2], table[:, 3], table[:, 4].astype(int))
