"""Golden piece motion_metric: the match of every recorded agent, every count, and the final ratios."""

from pathlib import Path

import numpy as np

from dima_jax.detections import Agents
from dima_jax.metrics import motion
from tests.golden.check import Check, close

TOLERANCE = 1e-4  # meters, summed over matches


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    names, frames = [str(name) for name in d["names"]], []
    for case in range(sum(key.endswith("/gt_boxes") for key in d)):
        c = {key.split("/")[1]: value for key, value in d.items() if key.startswith(f"c{case}/")}
        predicted, recorded = _predicted(c), _recorded(c)
        match = motion.match_agents(motion.confident(predicted), recorded)
        yield Check(f"c{case} matches that differ", float((match != c["matched_pred_of_gt"]).sum()), 0.0)
        frames.append(motion.frame_counts(predicted, recorded))
        yield close(f"c{case} counts", [frames[-1][name] for name in names], c["values__f64"], TOLERANCE)
    total = sum(frames[1:], frames[0])
    yield close("totals", [total[name] for name in names], d["totals__f64"], TOLERANCE)
    final = motion.summarize(frames)
    yield close("final", [final[str(name)] for name in d["final_names"]], d["final__f64"], TOLERANCE)


def _predicted(c):
    offsets = c["pred_trajs"].reshape(*c["pred_trajs"].shape[:2], -1, 2)
    return Agents(
        boxes=c["pred_boxes"],
        labels=c["pred_labels"],
        scores=c["pred_scores"],
        futures=c["pred_boxes"][:, None, None, :2] + offsets.cumsum(axis=2),
        mode_scores=np.ones(offsets.shape[:2]),
        future_mask=np.ones((len(offsets), offsets.shape[2]), bool),
    )


def _recorded(c):
    attributes = c["gt_attr"]
    return Agents(
        boxes=c["gt_boxes"],
        labels=c["gt_labels"],
        scores=np.ones(len(attributes)),
        futures=c["gt_boxes"][:, None, None, :2] + attributes[:, None, :12].reshape(-1, 1, 6, 2).cumsum(axis=2),
        mode_scores=np.ones((len(attributes), 1)),
        future_mask=attributes[:, 12:18] == 1,
    )
