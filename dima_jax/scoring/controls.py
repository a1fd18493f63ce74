"""Planners that need no camera, for others to be compared with; whoever is not ahead of them has not learned to look.

Velocity and turn rate are those of the LiDAR's move since the previous key frame; in the first frame of a scene, the CAN
bus speed straight ahead. Two more learn from the truth of the training split: `ego_mlp.py`, `neighbors.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from dima_jax.constants import STEP_SECONDS
from dima_jax.errors import UserError
from dima_jax.scoring import ego_inputs, ego_mlp, headings, neighbors, statistics
from dima_jax.scoring.predictions import STEPS, Predictions, named
from dima_jax.scoring.recorded import Truth
from dima_jax.scoring.run import ProtocolFrames

AHEAD = headings.AHEAD["lidar"]
NAMES = ("recorded path", "constant velocity", "constant turn rate", "go straight", "stand still")
MLP, NEIGHBORS = ("blind MLP", "nearest neighbors")  # what they are called where they are not there
AVERAGE = "l2_avg"  # in which the seeds of a control are told apart


def plans(truth: Truth, train: Truth | None = None, given: Mapping[str, Any] | None = None) -> list[Predictions]:
    """Every control that the truth has the numbers for, in the LiDAR frame (the recorded path alone: or in the ego frame).

    A control that lacks a number of a frame, e.g. the speed in the first frame of a scene, has no plan for it.
    "constant turn rate" repeats the last move, turn included: a circle stays a circle. The others do not turn.

    train: the truth of the training split, from which some controls learn; without it they are not there (`missing` says
    why). given: what the student was told of the ego, of its file's header; all that there is, by default. The MLP has a
    row for each seed of its fit. UserError for a training truth with frames of this one, and for what `given` may not be.
    """
    count, times = len(truth.tokens), np.arange(1.0, STEPS + 1)
    frame, path, yaw = ("lidar", truth.path, truth.path_yaw)
    if path is None:
        frame, path, yaw = ("ego", truth.ego_path, truth.ego_path_yaw)
    recorded = headings.estimate(path, headings.AHEAD[frame]) if yaw is None else yaw
    found = {"recorded path": np.concatenate([path, recorded[..., None]], axis=-1)}
    if frame == "lidar":
        step, move = _last_moves(truth)
        ahead = np.stack([np.zeros(count), np.linalg.norm(step, axis=-1)], axis=-1)
        found |= {
            "constant velocity": _straight(times[:, None] * step[:, None]),
            "constant turn rate": _repeated(move),
            "go straight": _straight(times[:, None] * ahead[:, None]),
            "stand still": _straight(np.zeros((count, STEPS, 2))),
        }
    rows = [_control(truth, name, frame, plan) for name, plan in found.items()]
    if train is not None:
        rows += _learned(truth, train, ego_inputs.given(given))
    return [one for one in rows if one.tokens]


def _control(
    truth: Truth, name: str, frame: str, plan: Float[np.ndarray, "N 6 D"], seed: int | None = None, **header: Any
) -> Predictions:
    """Of the frames for which the plan is known."""
    known = np.flatnonzero(np.isfinite(plan).all(axis=(1, 2)))
    return Predictions(name, "", frame, truth.tokens[known].tolist(), plan[known], seed, header)


def _learned(truth: Truth, train: Truth, given: ego_inputs.Given) -> list[Predictions]:
    if shared := sorted(set(truth.tokens.tolist()) & set(train.tokens.tolist())):
        raise UserError(
            f"{len(shared):,} frames of the training truth are those that are scored: {named(shared)}; "
            "give --train_truth of the split that planners were trained on"
        )
    rows, told = [], {"given": given._asdict(), "frames": len(train.tokens)}
    for row, lacking in _lacking(truth, train).items():
        if lacking:
            continue
        if row == MLP:
            fits = ego_mlp.plans(truth, train, given)
            rows += [_control(truth, ego_mlp.name(given), "lidar", one, k, **told) for k, one in enumerate(fits)]
        else:
            plan, number = neighbors.plans(truth, train, given)
            rows.append(_control(truth, neighbors.name(number, given), "lidar", plan, **told))
    return rows


def _lacking(truth: Truth, train: Truth) -> dict[str, list[str]]:
    """{control that learns: what it would need of either truth and is not there}."""
    told = True if train.frame_index is None else (train.frame_index == 0) | ego_inputs.follows(train)
    whole = train.path_mask is not None and (train.path_mask.all(axis=1) & told).any()
    needs = {
        MLP: ("paths", ego_inputs.NEEDS, ego_mlp.NEEDS),
        NEIGHBORS: ("paths", neighbors.NEEDS, neighbors.NEEDS_TO_LEARN),
    }
    return {
        row: [f"{name} in --truth" for name in dict.fromkeys((path, *asked)) if not truth.has(name)]
        + [f"{name} in --train_truth" for name in learned if not train.has(name)]
        + ([] if whole else ["a frame with six known steps, and with the frame before, in --train_truth"])
        for row, (path, asked, learned) in needs.items()
    }


def missing(truth: Truth, train: Truth | None) -> list[str]:
    """A line for each control that learns and is not there: why."""
    if train is None:
        return [f"{MLP}, {NEIGHBORS}: not available, need --train_truth, the training split's file of data_prep.truth"]
    return [f"{row}: not available, needs {', '.join(what)}" for row, what in _lacking(truth, train).items() if what]


def spread(truth: Truth, rows: Sequence[Predictions], scored: Mapping[str, ProtocolFrames]) -> list[str]:
    """A line for each control with several seeds: how its fits differ, by the first protocol with an average L2.

    rows: all that were scored, in the order of `scored`.
    """
    found = next((one for one in scored.values() if AVERAGE in one.definition.averages), None)
    several = {one.planner: one.header["frames"] for one in rows if not one.file and one.seed is not None}
    lines = []
    for name, frames in several.items() if found is not None else ():
        of = [number for number, one in enumerate(rows) if one.planner == name]
        planners = {str(k): statistics.Planner(found.value[[k]], found.weight[[k]]) for k in of}
        told = statistics.estimates(found.definition, planners, truth.scene).values()
        if None not in (values := [one[AVERAGE].value for one in told]):
            lines.append(
                f"{name}: fitted on {frames:,} frames; its row is the mean of {len(of)} seeds, whose {AVERAGE} "
                f"({found.definition.name}) is {np.mean(values):.3f} m, standard deviation {np.std(values, ddof=1):.3f} m"
            )
    return lines


def _last_moves(truth: Truth) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N 4 4"]]:
    """(the last step as this frame sees it, this frame's LiDAR in the frame before); NaN where there is neither."""
    count = len(truth.tokens)
    step = np.full((count, 2), np.nan)
    if truth.speed is not None:
        step = np.stack([np.zeros(count), truth.speed.astype(np.float64) * STEP_SECONDS], axis=-1)
        if truth.frame_index is not None:
            step[(truth.frame_index > 0) & ~ego_inputs.follows(truth)] = np.nan
    move = np.tile(np.eye(4), (count, 1, 1))
    move[:, :2, 3] = step
    if truth.ego2global is not None:
        pose = truth.ego2global @ truth.lidar2ego
        after = np.flatnonzero(ego_inputs.follows(truth))
        back = np.linalg.inv(pose[after]) @ pose[after - 1]
        step[after], move[after] = -back[:, :2, 3], np.linalg.inv(back)
    return step, move


def _straight(xy: Float[np.ndarray, "N 6 2"]) -> Float[np.ndarray, "N 6 3"]:
    return np.concatenate([xy, np.full((*xy.shape[:-1], 1), AHEAD)], axis=-1)


def _repeated(move: Float[np.ndarray, "N 4 4"]) -> Float[np.ndarray, "N 6 3"]:
    """The places after one to six times the same move."""
    places = [move]
    for _ in range(STEPS - 1):
        places.append(places[-1] @ move)
    poses = np.stack(places, axis=1)
    return np.concatenate(
        [poses[..., :2, 3], AHEAD + np.arctan2(poses[..., 1, 0], poses[..., 0, 0])[..., None]], axis=-1
    )
