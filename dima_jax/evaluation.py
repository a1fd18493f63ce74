"""Scores a policy over a split: what it plans beside the control planners, what it finds, and how sure the numbers are.

Driving is in `driving.py`, the controls in `controls.py` and `blind_planner.py`; tables: `report.py`. Frames are scored
one by one; no image is kept.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from dima_jax import commit, subsets, weights
from dima_jax.blind_planner import BlindPlanner
from dima_jax.data import sequences
from dima_jax.data.records import Records
from dima_jax.driving import drive
from dima_jax.errors import UserError
from dima_jax.highlights import Highlights, Picture
from dima_jax.metrics import bootstrap, perception, planning
from dima_jax.policy import Policy
from dima_jax.scoring import predictions


class Scores(NamedTuple):
    """result: {"planning": {subset: {planner: {protocol: row}}}, "perception", "intervals", "protocols", "student"[,
    "blind"][, "dual"]}; what is in "intervals": `bootstrap`. pictures: what should be drawn. plans: the student's path in
    each frame, {sample token: [F, 2] meters, LiDAR frame}.
    """

    result: dict
    pictures: list[Picture]
    plans: dict[str, np.ndarray]


def evaluate(
    policy: Policy,
    config: ConfigDict,
    split: str,
    *,
    blank_images: bool = False,
    other_images: bool = False,
    dual=None,
    blind: BlindPlanner | None = None,
    num_pictures: int = 0,
) -> Scores:
    """Scores of a policy in JAX over a split; arguments as in `drive`. num_pictures: see `Highlights`.

    UserError if the records are missing, damaged or empty.
    """
    scores: dict[str, list[planning.FrameScore]] = {}
    perceived: list[perception.FrameScore] = []
    scenes: list[str] = []
    members: list[list[str]] = []
    highlights, plans = Highlights(num_pictures), {}
    blind_errors: list[np.ndarray] = []  # of each counted frame: [SEEDS, F] meters
    options = dict(blank_images=blank_images, other_images=other_images, dual=dual, blind=blind)
    for driven in drive(policy, config, split, **options):
        frame = driven.frame
        scenes.append(frame.scene)
        members.append(subsets.subsets_of(frame))
        plans[frame.sample_token] = driven.plans["student"]
        perceived.append(perception.score_frame(*driven.predicted, *driven.recorded, policy.info.pc_range))
        occupied = planning.occupancy(*agents_of(frame))
        for name, waypoints in driven.plans.items():
            score = planning.score_frame(waypoints, driven.recorded_path, occupied, counted=frame.future_valid)
            scores.setdefault(name, []).append(score)
        if frame.future_valid and blind is not None:
            blind_errors.append(np.linalg.norm(blind(frame.frame) - driven.recorded_path, axis=-1))
        highlights.add(driven, float(bootstrap.l2_columns([scores["student"][-1].l2])[0, -1]))
    if not scores:
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    masks = subsets.masks(members)
    result = {
        "planning": {
            subset: {name: planning.summarize(rows, mask) for name, rows in scores.items()}
            for subset, mask in masks.items()
        },
        "perception": perception.summarize(perceived),
        "intervals": {
            "planning": {subset: bootstrap.planning_intervals(scores, scenes, mask) for subset, mask in masks.items()},
            "perception": bootstrap.perception_intervals(perceived, scenes) | {"scenes": len(set(scenes))},
        },
        "protocols": planning.PROTOCOLS | perception.PROTOCOLS,
        "student": {"weights": weights.count(policy.student.params)},
    }
    if blind is not None:
        result["blind"] = {
            "planner": blind.name,
            "frames": blind.num_frames,
            "seconds": blind.seconds,
            "l2_avg_of_seeds": {
                seed: float(bootstrap.l2_columns([errors[i] for errors in blind_errors])[:, -1].mean())
                for i, seed in enumerate(blind.seeds)
            },
        }
    if dual is not None:
        result["dual"] = {"teacher_weights": dual.teacher_weights}
    return Scores(result, highlights.pictures(sequences.Drives(config, split)), plans)


def save_predictions(path: str | Path, plans: dict[str, np.ndarray], policy: Policy, split: str) -> None:
    """Writes `Scores.plans` as a file for `dima_jax.score` (docs/scores/predictions.md)."""
    config = policy.student.config
    header = {
        "planner": "student",
        "frame": "lidar",
        "seed": config.seed,
        "step": policy.student.step,
        "commit": commit.describe(),
        "data_hash": Records(config.data.path, split).data_hash,
        "given": {"ego_status": config.data.ego_status, "command": config.data.command},
    }
    predictions.write(path, plans, {"plans": np.stack([*plans.values()]).astype(np.float32)}, header)


def load_dual(run: Path, config: ConfigDict):
    """A `dual.Dual`. The one place where the teacher is imported: without --dual evaluation is the student alone."""
    from dima_jax.dual import Dual

    return Dual(run, config)


def agents_of(frame: sequences.DriveFrame) -> tuple:
    """The real agents of a frame, as `planning.occupancy` takes them."""
    agents, mask = frame.agents, frame.agents.mask[0]
    fields = (agents.boxes, agents.category, agents.future_offsets, agents.future_mask, agents.future_yaw)
    return tuple(np.asarray(field[0])[mask] for field in fields)
