"""Steps a policy through a split, scene by scene in order of time, and beside it every planner it is compared with."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from dima_jax import controls, progress
from dima_jax.blind_planner import BlindPlanner
from dima_jax.data import sequences
from dima_jax.detections import Agents, Lines, recorded_agents, recorded_lines
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


def drive(
    policy: Policy,
    config: ConfigDict,
    split: str,
    *,
    blank_images: bool = False,
    other_images: bool = False,
    dual=None,
    blind: BlindPlanner | None = None,
) -> Iterator[Drive]:
    """Steps the policy through every key frame of a split of `config.data`.

    blank_images, other_images: also plan with the same student fed black images, and fed those of another scene
    (`controls.other_scene_records`; everything else is the frame's own); each has a previous BEV of its own. dual:
    `evaluation.load_dual`'s, or None. blind: also plan with it. UserError if the records are missing or damaged, or if
    there is no other scene.
    """
    blank, other = Policy(policy.student), Policy(policy.student)
    previous = None
    drives = sequences.Drives(config, split)
    others = controls.other_scene_records(drives.records) if other_images else None
    frames = sequences.iterate_scenes(config, split)
    for frame in progress.each(frames, len(drives), "frame", name=split, first="compiling for the first frame"):
        if frame.is_first:
            for each in (policy, blank, other):
                each.reset()
        given = Frame.from_batch(frame.frame)
        plan = policy.step(given)
        plans = {"student": plan.waypoints}
        if blank_images:
            black = blank.step(given._replace(images=np.zeros_like(given.images)))
            plans["student, blank images"] = black.waypoints
        if others is not None:
            elsewhere = other.step(given._replace(images=drives.frames[others[frame.index]].images))
            plans["student, another scene's images"] = elsewhere.waypoints
        if dual is not None:
            command = int(frame.frame.command[0].argmax())
            plans |= {name: path_of(offsets, command) for name, offsets in dual(policy.student_output).items()}
        recorded_path = np.cumsum(frame.ego.future_offsets[0], axis=0)
        plans |= controls.control_plans(frame, previous, recorded_path)
        if blind is not None:
            plans[blind.name] = blind(frame.frame)[0]
        previous = frame
        recorded = recorded_agents(frame.agents, 0), recorded_lines(frame.map, 0)
        yield Drive(frame, plans, recorded_path, (plan.agents, plan.lines), recorded)


def path_of(offsets, command: int) -> np.ndarray:
    """Positions [F, 2] in meters for a command, of offsets [1, R, F, 2] in meters per step."""
    return np.cumsum(np.asarray(offsets)[0, command], axis=0)
