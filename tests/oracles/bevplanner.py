"""Twin of `protocols/bevplanner.py`, written from the protocol's description."""

import itertools
import math

import cv2
import numpy as np
import shapely

from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from tests.oracles import boxes, grids

CELLS = grids.under_ego(0.1, 50.0, boxes.AHEAD + 0.985793)
VEHICLES = ["car", "truck", "construction_vehicle", "bus", "trailer", "motorcycle", "bicycle"]
SIDE = 1000


def score(truth, index, lidar, ego):
    """{"collision": [P][F], "curb": [P][F], "hit": [P][F], "recorded": [F]}."""

    def keep(row):
        name = LIDARSEG_CATEGORIES[truth.category[row]]
        hit = truth.lidar_points[row] + truth.radar_points[row] > 0
        return CLASS_OF_CATEGORY.get(name) in VEHICLES and hit

    drawn = [
        (row, step, [(math.trunc((x + 49.95) / 0.1), math.trunc((y + 49.95) / 0.1)) for x, y in box])
        for row, step, box in boxes.annotated(truth, index, keep, frame="ego")
    ]

    def cells_of(plan, step):
        (x, y), (before_x, before_y) = plan[step], plan[step - 1] if step else (np.float32(0), np.float32(0))
        east, north = float(x - before_x), float(y - before_y)
        angle = 0.0 if np.hypot(east, north) < 1 else np.arctan2(north, east)
        cos, sin = np.cos(angle), np.sin(angle)
        ahead, left = (CELLS - 499.5).T
        columns = np.round(ahead * cos - left * sin + 499.5) + float(x / np.float32(0.1))
        rows = np.round(ahead * sin + left * cos + 499.5) + float(y / np.float32(0.1))
        return grids.clipped(rows, SIDE), grids.clipped(columns, SIDE)

    plans = [*ego[..., :2].astype(np.float32), truth.ego_path[index]]
    _, hits, rows, recorded = grids.strike(drawn, plans, cells_of, SIDE)
    collision, hit = grids.exempt(hits, rows, recorded)
    curb_grid = np.zeros((SIDE, SIDE), np.uint8)
    for line in range(truth.curb_start[index], truth.curb_start[index + 1]):
        whole = shapely.LineString(
            truth.curb_vertices[truth.curb_vertex_start[line] : truth.curb_vertex_start[line + 1]].astype(float)
        )
        points = [whole.interpolate(at) for at in np.linspace(0, whole.length, 20)]
        points = [(min(max(p.x, -51.2), 51.2), min(max(p.y, -51.2), 51.2)) for p in points]
        cells = [tuple(grids.clipped((np.array(point) + 49.95) / 0.1, SIDE).tolist()) for point in points]
        for one, two in itertools.pairwise(cells):
            cv2.line(curb_grid, one, two, 1, 1)
    met = [[bool(curb_grid[cells_of(plan, step)].any()) for step in range(6)] for plan in plans]
    known = met.pop()
    curb = [[hit and not free for hit, free in zip(plan, known, strict=True)] for plan in met]
    return {"collision": collision, "curb": curb, "hit": hit, "recorded": recorded}
