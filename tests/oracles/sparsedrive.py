"""Twin of `protocols/sparsedrive.py`, after SparseDrive's `planning_eval.py`."""

import numpy as np

from tests.oracles import boxes, grids
from tests.oracles.paradrive_std import struck


def headings(plan):
    if np.hypot(*(plan[-1] - plan[0])) < 0.5:
        return [np.pi / 2] * 6
    points = [np.zeros(2), *plan]
    found = [points[k + 1] - points[k - 1] for k in range(1, 6)] + [points[6] - points[5]]
    return [np.arctan2(y, x) for x, y in found]


def score(truth, index, lidar, ego):
    """{"collision": [P][F], "hit": [P][F], "recorded": [F]}."""
    agents = list(boxes.annotated(truth, index, lambda row: truth.lidar_points[row] > 0))
    rows = []
    for plan in [*lidar[..., :2], truth.path[index].astype(float)]:
        placed = [boxes.ego(x, y, heading) for (x, y), heading in zip(plan, headings(plan), strict=True)]
        rows.append([struck(agents, box, step) for step, box in enumerate(placed)])
    *rows, known = rows
    recorded = [row >= 0 for row in known]
    collision, hit = grids.exempt([[row >= 0 for row in plan] for plan in rows], rows, recorded)
    return {"collision": collision, "hit": hit, "recorded": recorded}
