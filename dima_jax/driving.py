"""Steps a student through key frames, scene by scene in order of time, and beside it the same student on other inputs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dima_jax.data.sequences import DriveFrame, Drives
from dima_jax.detections import Agents, Lines
from dima_jax.policy import Frame, Policy
from dima_jax.variants import Context, Variant

STUDENT = "student"  # the row of the student on its own input


class Drive(NamedTuple):
    """One key frame that was driven. plans: [F, 2] meters, LiDAR frame, by row; predicted: what the student found."""

    frame: DriveFrame
    plans: dict[str, np.ndarray]
    predicted: tuple[Agents, Lines]


def drive(
    policy: Policy,
    drives: Drives,
    numbers: Sequence[int] | None = None,
    *,
    variants: Sequence[Variant] = (),
    others: Sequence[int] | None = None,
    dual=None,
    threads: int = 1,
) -> Iterator[Drive]:
    """Steps a policy through key frames of these numbers, by default of all.

    variants: further rows, each with a previous BEV of its own; others: see `variants.Context`. dual:
    `evaluation.load_dual`'s, or None. threads: that read ahead. UserError if a record is damaged.
    """
    numbers = range(len(drives)) if numbers is None else numbers
    beside = [(variant, Policy(policy.student)) for variant in variants]
    for frame in drives.iterate(numbers, threads):
        if frame.is_first:
            for each in (policy, *(other for _, other in beside)):
                each.reset()
        given = Frame.from_batch(frame.frame)
        plan = policy.step(given)
        plans = {STUDENT: plan.waypoints}
        for variant, other in beside:
            if not variant.keeps_history:
                other.reset()
            changed = variant.change(given, Context(drives, frame.index, others))
            plans[variant.name] = other.step(changed).waypoints
        if dual is not None:
            command = int(frame.frame.command[0].argmax())
            plans |= {name: path_of(offsets, command) for name, offsets in dual(policy.student_output).items()}
        yield Drive(frame, plans, (plan.agents, plan.lines))


def path_of(offsets, command: int) -> np.ndarray:
    """Positions [F, 2] in meters for a command, of offsets [1, R, F, 2] in meters per step."""
    return np.cumsum(np.asarray(offsets)[0, command], axis=0)
