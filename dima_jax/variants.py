"""The same student on a changed input: what its plans hang on. Each variant changes one thing and leaves the rest.

Every variant is driven with a previous BEV of its own, so that a change acts as it would if the vehicle drove with it.
What each row asks, and how it is read: docs/scores/audit.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from dima_jax import scene_shards
from dima_jax.constants import CAMERAS, COMMANDS, FORWARD_SPEED
from dima_jax.data import sequences
from dima_jax.data.ego_inputs import STRAIGHT
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.policy import Frame
from dima_jax.scoring.audit import KIND, black, row

DISPLACEMENT = slice(0, 3)  # in the CAN bus: the way since the frame before
SHUFFLED = (4, 3, 0, 1, 5, 2)  # whose images each of six cameras shows; none its own


class Context(NamedTuple):
    """Where a frame stands: number `index` of `drives`.

    others: for each frame the number of one of another scene (`other_scene_records`); None where no variant asks.
    """

    drives: sequences.Drives
    index: int
    others: Sequence[int] | None


class Variant(NamedTuple):
    """A row of the tables. change: of a frame, of which it leaves the arrays as they are.

    kind: "control" stands in the tables of the protocols, "audit" in the audit's alone. keeps_history: False where the
    previous BEV is forgotten before every frame.
    """

    name: str
    kind: str
    change: Callable[[Frame, Context], Frame]
    keeps_history: bool = True


def chosen(blank_images: bool, other_images: bool, audit: bool, cameras: Sequence[str] = CAMERAS) -> list[Variant]:
    """The variants that are asked for, each once; the audit has them all. cameras: the student's, in order."""
    found = [
        *([Variant(row("blank images"), "control", blank)] if blank_images or audit else []),
        *([Variant(row("another scene's images"), "control", another_scene)] if other_images or audit else []),
    ]
    return found + audit_of(cameras) if audit else found


def blank(frame: Frame, context: Context) -> Frame:
    """Black images, calibrated as before."""
    return frame._replace(images=np.zeros_like(frame.images))


def another_scene(frame: Frame, context: Context) -> Frame:
    """The images of another drive; calibration, CAN bus and command stay this one's."""
    return frame._replace(images=context.drives.frames[context.others[context.index]].images)


def shuffle(frame: Frame, context: Context) -> Frame:
    """Each camera shows another's image (the one before it, unless there are six); the matrices stay."""
    count = len(frame.images)
    order = SHUFFLED if count == len(SHUFFLED) else np.roll(np.arange(count), 1)
    return frame._replace(images=frame.images[list(order)])


def without_camera(camera: int, frame: Frame, context: Context) -> Frame:
    """Camera number `camera` black."""
    images = frame.images.copy()
    images[camera] = 0
    return frame._replace(images=images)


def without_can_bus(frame: Frame, context: Context) -> Frame:
    """All 18 numbers 0: as if the vehicle stood, and the previous BEV belonged to the same place."""
    return frame._replace(can_bus=np.zeros_like(frame.can_bus))


def speed(factor: float, frame: Frame, context: Context) -> Frame:
    """The forward speed, and the way since the frame before that it implies, times `factor`.

    Both scale alike by whatever rule the way was made (`data.ego_inputs.can_bus_input`): as recorded, or speed x time.
    """
    can_bus = frame.can_bus.copy()
    can_bus[FORWARD_SPEED] *= factor
    can_bus[DISPLACEMENT] *= factor
    return frame._replace(can_bus=can_bus)


def straight(frame: Frame, context: Context) -> Frame:
    """The command "straight" in every frame, which is also what a student without commands is given."""
    return frame._replace(command=COMMANDS[STRAIGHT])


def same(frame: Frame, context: Context) -> Frame:
    return frame


def audit_of(cameras: Sequence[str]) -> list[Variant]:
    """The audit's rows of a student with these cameras."""
    return [
        *([Variant(row("shuffled cameras"), KIND, shuffle)] if len(cameras) > 1 else []),
        *(Variant(row(black(name)), KIND, partial(without_camera, i)) for i, name in enumerate(cameras)),
        Variant(row("no previous BEV"), KIND, same, keeps_history=False),
        Variant(row("CAN bus zeroed"), KIND, without_can_bus),
        Variant(row("speed x0.5"), KIND, partial(speed, 0.5)),
        Variant(row("speed x1.5"), KIND, partial(speed, 1.5)),
        Variant(row("always straight"), KIND, straight),
    ]


def others_of(variants: Sequence[Variant], records: Records) -> list[int] | None:
    """`Context.others`, where one of the variants reads it. UserError if the split has a single scene."""
    return other_scene_records(records) if any(one.change is another_scene for one in variants) else None


def other_scene_records(records: Records) -> list[int]:
    """For each record the one with the same place in the next scene, in the last scene's turn of the first scene.

    A scene that is shorter gives its last frame. UserError if the split has a single scene.
    """
    scenes = [scene.numbers for scene in scene_shards.scenes_of(records)]
    if len(scenes) < 2:
        raise UserError(
            f"split {records.split!r} of {records.folder} has {len(scenes)} scene; --other_images and --audit need at "
            "least 2"
        )
    following = scenes[1:] + scenes[:1]
    return [
        other[min(i, len(other) - 1)] for scene, other in zip(scenes, following, strict=True) for i in range(len(scene))
    ]
