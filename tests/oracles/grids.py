"""Grids cell by cell, as the public evaluators have them."""

import cv2
import numpy as np

from tests.oracles.boxes import LENGTH, WIDTH


def under_ego(cell, half, ahead):
    """[K, 2] cells (along, across), of a grid whose first center is at -half + cell / 2, with their center under the ego's box."""
    centers = [-half + cell / 2 + k * cell for k in range(round(2 * half / cell))]
    along = [k for k, value in enumerate(centers) if ahead - LENGTH / 2 <= value <= ahead + LENGTH / 2]
    across = [k for k, value in enumerate(centers) if abs(value) <= WIDTH / 2]
    return np.array([(a, b) for a in along for b in across], float)


def clipped(value, cells):
    return np.clip(np.trunc(value), 0, cells - 1).astype(int)


def strike(boxes, plans, cells_of, cells):
    """(grids by step, hits by plan and step, lowest row struck or -1, hits of the last plan: the recorded path).

    boxes: (row, step, four (column, row) pixels); plans: [P][F] points; cells_of(plan, step): (rows, columns) under the
    ego.
    """
    boxes = sorted(((row, step, np.array(pixels, np.int32)) for row, step, pixels in boxes), key=lambda box: box[0])
    grids, alone = np.zeros((6, cells, cells), np.uint8), np.zeros((cells, cells), np.uint8)
    for _, step, pixels in boxes:
        cv2.fillPoly(grids[step], [pixels], 1)
    hits, rows = [], []
    for plan in plans:
        covered = [cells_of(plan, step) for step in range(6)]
        hits.append([bool(grids[step][covered[step]].any()) for step in range(6)])
        rows.append([-1] * 6)
        for row, step, pixels in reversed(boxes):
            if hits[-1][step]:
                alone[:] = 0
                cv2.fillPoly(alone, [pixels], 1)
                rows[-1][step] = row if alone[covered[step]].any() else rows[-1][step]
    return grids, hits[:-1], rows[:-1], hits[-1]


def exempt(hits, rows, recorded):
    """Hits and rows without those of steps at which the recorded path collides."""
    free = [[hit and not known for hit, known in zip(plan, recorded, strict=True)] for plan in hits]
    kept = [[row if hit else -1 for row, hit in zip(*pair, strict=True)] for pair in zip(rows, free, strict=True)]
    return free, kept
