"""Twin of `protocols/uniad.py`, after UniAD's `occflow_label.py` and `planning_metrics.py`."""

import numpy as np

from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from tests.oracles import boxes, grids

CELLS = grids.under_ego(0.5, 50.0, boxes.AHEAD)
VEHICLES = ["car", "bus", "construction_vehicle", "bicycle", "motorcycle", "truck", "trailer"]


def score(truth, index, lidar, ego):
    """{"collision": [P][F], "hit": [P][F], "recorded": [F]}."""

    def keep(row):
        name = LIDARSEG_CATEGORIES[truth.category[row]]
        return CLASS_OF_CATEGORY.get(name) in VEHICLES and truth.visibility[row] != 1

    drawn = [
        (row, step, [(np.round((x + 50) / 0.5), np.round((y + 50) / 0.5)) for x, y in box])
        for row, step, box in boxes.annotated(truth, index, keep)
    ]

    def cells_of(plan, step):
        x, y = plan[step]
        return grids.clipped(y / 0.5 + CELLS[:, 0], 200), grids.clipped(x / 0.5 + CELLS[:, 1], 200)

    plans = [*lidar[..., :2].astype(np.float32).tolist(), truth.path[index].tolist()]
    _, hits, rows, recorded = grids.strike(drawn, plans, cells_of, 200)
    collision, hit = grids.exempt(hits, rows, recorded)
    return {"collision": collision, "hit": hit, "recorded": recorded}
