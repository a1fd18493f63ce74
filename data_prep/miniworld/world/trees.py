"""The trees of the town, the same ones in every scene."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import shapely

from data_prep.miniworld.world.state import Town

SPACING = 8.0  # mean meters between neighboring trees
MAX_DISTANCE = 26.0  # meters from the road; trees farther away are hardly visible


class Trees(NamedTuple):
    """T trees. feet [T, 2], heights [T], crowns [T] (radius), meters; tones [T]: index into `colors.LEAVES`."""

    feet: np.ndarray
    heights: np.ndarray
    crowns: np.ndarray
    tones: np.ndarray


@lru_cache(maxsize=2)
def trees_of(town: Town) -> Trees:
    """Trees beside the streets, clear of houses, walkways and roads."""
    rng = np.random.default_rng(3)
    roads = shapely.union_all([shapely.Polygon(p.exterior, p.holes) for p in town.drivable])
    walks = shapely.union_all([shapely.Polygon(p.exterior, p.holes) for p in town.walkways])
    houses = shapely.STRtree([shapely.Polygon(outline) for outline, _ in town.buildings])
    paved = shapely.union_all([roads, walks])
    shapely.prepare(paved)
    trees = []
    for x in np.arange(SPACING / 2, town.size[0], SPACING):
        for y in np.arange(SPACING / 2, town.size[1], SPACING):
            foot = np.array([x, y]) + rng.uniform(-0.4, 0.4, 2) * SPACING
            height, crown, tone = rng.uniform(4.5, 9.0), rng.uniform(1.3, 2.4), int(rng.integers(4))
            point = shapely.Point(foot)
            distance = paved.distance(point)
            near_house = len(houses.query(point, predicate="dwithin", distance=crown + 0.4)) > 0
            if 0.7 * crown < distance < MAX_DISTANCE and not near_house and rng.random() < 0.55:
                trees.append((*foot, round(height, 1), round(crown, 1), tone))
    table = np.array(trees).reshape(-1, 5)
    return Trees(table[:, :2], table[:, 2], table[:, 3], table[:, 4].astype(int))
