"""Twin of `protocols/stp3_vad.py`, after VAD's `metric_stp3.py`."""

import numpy as np

from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from tests.oracles import boxes, grids

CELLS = grids.under_ego(0.5, 50.0, boxes.AHEAD)


def score(truth, index, lidar, ego):
    """{"collision": [P][F], "point_collision": [P][F], "hit": [P][F], "recorded": [F]}."""

    def keep(row):
        number, (x, y) = truth.category[row], truth.boxes[row, :2]
        human, vehicle = 2 <= number <= 8, 14 <= number <= 23
        known = LIDARSEG_CATEGORIES[number] in CLASS_OF_CATEGORY
        return (human or vehicle) and known and truth.lidar_points[row] > 0 and -15 < x < 15 and -30 < y < 30

    drawn = [
        (row, step, [(np.round((x + 50) / 0.5), np.round((50 - y) / 0.5)) for x, y in box])
        for row, step, box in boxes.moved(truth, index, keep)
    ]
    plans = [*lidar[..., :2].astype(np.float32).tolist(), truth.path[index].tolist()]

    def cells_of(plan, step):
        x, y = plan[step]
        return grids.clipped(200 - (y / 0.5 + CELLS[:, 0]), 200), grids.clipped(x / 0.5 + CELLS[:, 1], 200)

    grid, hits, rows, recorded = grids.strike(drawn, plans, cells_of, 200)
    collision, hit = grids.exempt(hits, rows, recorded)
    points = []
    for plan in lidar[..., :2].astype(np.float32):
        points.append([])
        for step, (x, y) in enumerate(plan):
            row, column = (
                int((np.float32(24.875) - y) / np.float32(0.5)),
                int((np.float32(24.875) + x) / np.float32(0.5)),
            )
            inside = 0 <= row < 200 and 0 <= column < 200
            points[-1].append(bool(inside and grid[step, row, column] and not recorded[step]))
    return {"collision": collision, "point_collision": points, "hit": hit, "recorded": recorded}
