"""Drives a policy through a split, scene by scene in order of time, and scores what it plans and finds.

Beside the student stand control planners that see nothing: the recorded path, constant velocity, going straight; on
request also the same student on black images, and DiMA-Dual with the teacher. Pictures and tables: `report.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from dima_jax import weights
from dima_jax.constants import COMMANDS, STEP_SECONDS
from dima_jax.data import sequences
from dima_jax.detections import Agents, Lines, recorded_agents, recorded_lines
from dima_jax.errors import UserError
from dima_jax.metrics import perception, planning
from dima_jax.policy import Frame, Policy


class Drive(NamedTuple):
    """One key frame that was driven. plans: [F, 2] meters by planner; recorded_path: [F, 2] meters.

    predicted: what the student found; recorded: what was there.
    """

    frame: sequences.DriveFrame
    plans: dict[str, np.ndarray]
    recorded_path: np.ndarray
    predicted: tuple[Agents, Lines]
    recorded: tuple[Agents, Lines]


class Scores(NamedTuple):
    """result: {"planning": {subset: {planner: {protocol: row}}}, "perception", "protocols", "student"[, "dual"]}.

    widest: of each of the first scenes, the frame whose recorded path goes farthest to a side.
    """

    result: dict
    widest: list[Drive]


def evaluate(
    policy: Policy, config: ConfigDict, split: str, *, blank_images: bool = False, dual=None, num_widest: int = 0
) -> Scores:
    """Scores of a policy in JAX over a split; arguments as in `drive`. num_widest: how many scenes' frames are kept.

    UserError if the records are missing, damaged or empty.
    """
    scores: dict[str, list] = {}
    subsets: dict[str, list[bool]] = {"all frames": [], "turning frames": []}
    widest: dict[str, Drive] = {}
    perceived = []
    for driven in drive(policy, config, split, blank_images=blank_images, dual=dual):
        perceived.append(perception.score_frame(*driven.predicted, *driven.recorded, policy.info.pc_range))
        occupied = planning.occupancy(*agents_of(driven.frame))
        for name, waypoints in driven.plans.items():
            score = planning.score_frame(waypoints, driven.recorded_path, occupied, counted=driven.frame.future_valid)
            scores.setdefault(name, []).append(score)
        mark_subsets(subsets, driven.frame)
        keep_widest(widest, driven, num_widest)
    if not scores:
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    tables = {
        subset: {name: planning.summarize(rows, mask) for name, rows in scores.items()}
        for subset, mask in subsets.items()
    }
    result = {
        "planning": tables,
        "perception": perception.summarize(perceived),
        "protocols": planning.PROTOCOLS | perception.PROTOCOLS,
        "student": {"weights": weights.count(policy.student.params)},
    }
    if dual is not None:
        result["dual"] = {"teacher_weights": dual.teacher_weights}
    return Scores(result, list(widest.values()))


def load_dual(run: Path, config: ConfigDict):
    """A `dual.Dual`. The one place where the teacher is imported: without --dual evaluation is the student alone."""
    from dima_jax.dual import Dual

    return Dual(run, config)


def drive(policy: Policy, config: ConfigDict, split: str, *, blank_images: bool = False, dual=None) -> Iterator[Drive]:
    """Steps the policy through every key frame of a split of `config.data`.

    blank_images: also plan with the same student fed black images. dual: `load_dual`'s, or None.
    """
    blank = Policy(policy.student)  # the same weights, a previous BEV of its own
    previous = None
    frames = sequences.iterate_scenes(config, split)
    total = len(sequences.Drives(config, split))
    for frame in tqdm(frames, total=total, unit="frame", dynamic_ncols=True):
        if frame.is_first:
            policy.reset()
            blank.reset()
        given = Frame.from_batch(frame.frame)
        plan = policy.step(given)
        plans = {"student": plan.waypoints_all[frame.command]}
        if blank_images:
            black = blank.step(given._replace(images=np.zeros_like(given.images)))
            plans["student, blank images"] = black.waypoints_all[frame.command]
        if dual is not None:
            plans |= {name: path_of(offsets, frame.command) for name, offsets in dual(policy.student_output).items()}
        recorded_path = np.cumsum(frame.ego.future_offsets[0], axis=0)
        plans |= control_plans(frame, previous, recorded_path)
        previous = frame
        recorded = recorded_agents(frame.agents, 0), recorded_lines(frame.map, 0)
        yield Drive(frame, plans, recorded_path, (plan.agents, plan.lines), recorded)


def path_of(offsets, command: int) -> np.ndarray:
    """Positions [F, 2] in meters for a command, of offsets [1, R, F, 2] in meters per step."""
    return np.cumsum(np.asarray(offsets)[0, command], axis=0)


def control_plans(
    frame: sequences.DriveFrame, previous: sequences.DriveFrame | None, recorded_path: np.ndarray
) -> dict[str, np.ndarray]:
    """Plans that need no camera: {name: [F, 2] meters}. previous: the key frame before, whatever its scene.

    Velocity is the move since the previous key frame; in the first frame of a scene, the CAN bus speed straight ahead.
    """
    step = np.array([0.0, frame.speed * STEP_SECONDS])
    if not frame.is_first:
        here = np.linalg.inv(frame.lidar2global) @ previous.lidar2global[:, 3]
        step = -here[:2]
    times = np.arange(1, len(recorded_path) + 1)[:, None]
    return {
        "recorded path": recorded_path,
        "constant velocity": times * step,
        "go straight": times * np.array([0.0, np.linalg.norm(step)]),
    }


def agents_of(frame: sequences.DriveFrame) -> tuple:
    """The real agents of a frame, as `planning.occupancy` takes them."""
    agents, mask = frame.agents, frame.agents.mask[0]
    fields = (agents.boxes, agents.category, agents.future_offsets, agents.future_mask, agents.future_yaw)
    return tuple(np.asarray(field[0])[mask] for field in fields)


def mark_subsets(subsets: dict[str, list[bool]], frame: sequences.DriveFrame) -> None:
    """Appends whether the frame belongs to each subset; a tag seen for the first time starts a subset of its own."""
    seen = len(subsets["all frames"])
    for tag in frame.tags:
        subsets.setdefault(f"scenes with {tag}", [False] * seen)
    for name, mask in subsets.items():
        member = {"all frames": True, "turning frames": COMMANDS[frame.command] != "straight"}
        mask.append(member.get(name, name.removeprefix("scenes with ") in frame.tags))


def keep_widest(widest: dict[str, Drive], driven: Drive, scenes: int) -> None:
    """Keeps, of each of the first `scenes` scenes, the frame whose recorded path goes farthest to a side."""
    scene, side = driven.frame.scene, np.abs(driven.recorded_path[-1, 0])
    if not driven.frame.future_valid or (scene not in widest and len(widest) >= scenes):
        return
    if scene not in widest or side > np.abs(widest[scene].recorded_path[-1, 0]):
        widest[scene] = driven
