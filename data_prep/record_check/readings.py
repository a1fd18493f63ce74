"""What is read over many key frames: speeds by the CAN bus and by the ego poses, sizes, distances, commands."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from data_prep.record_check import rules
from data_prep.record_check.rules import Problem
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.constants import AGENT_CLASSES, COMMANDS, FORWARD_SPEED

RECORDED = slice(7, 16)  # of a record's CAN bus: what comes from the bus itself
SLOWEST, LEAST_FRAMES = 0.5, 3  # meters per second that tell; key frames that tell
SPEED_TOLERANCE, SPEED_SHARE = 0.5, 0.1  # meters per second, and share of the speed
# Meters: the longer horizontal side of nuScenes' boxes, as the anchors of VoxelNet-style detectors have it.
TYPICAL_SIDE = dict(zip(AGENT_CLASSES, (4.6, 6.7, 6.4, 11.2, 12.0, 2.5, 2.1, 1.7, 0.73, 0.4), strict=True))
MAX_FACTOR, LEAST_BOXES = 3.0, 20  # of a class's median side; boxes that tell
LEAST_SCENES = 20  # in which every command should occur


class Drive:
    """The key frames of one scene: times in seconds, ego positions, forward speed by the CAN bus (NaN = none)."""

    def __init__(self):
        self.seconds, self.positions, self.can = [], [], []

    def speeds(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """(by the CAN bus, by the poses), meters per second; NaN where there is none."""
        can, seconds = np.abs(np.array(self.can, np.float64)), np.array(self.seconds, np.float64)
        if len(seconds) < LEAST_FRAMES or not (np.diff(seconds) > 0).all():
            return can, np.full(len(can), np.nan)
        return can, np.linalg.norm(np.gradient(np.array(self.positions), seconds, axis=0), axis=1)


class Readings:
    """Numbers of the key frames of one split, as they come."""

    def __init__(self):
        self.drives: dict[str, Drive] = {}
        self.commands: list[int] = []
        self._labels: list[np.ndarray] = []
        self._boxes: list[np.ndarray] = []

    def add(self, frame: dict) -> None:
        """Takes a key frame of `features.decode`."""
        drive = self.drives.setdefault(frame["scene"]["name"], Drive())
        drive.seconds.append(frame["timestamp"] * 1e-6)
        drive.positions.append(frame["ego2global"][:3, 3])
        drive.can.append(frame["can_bus"][FORWARD_SPEED] if frame["can_bus"][RECORDED].any() else np.nan)
        self.commands.append(int(frame["ego"]["command"]))
        categories = frame["agents"]["categories"]
        if len(categories) != len(frame["agents"]["boxes"]):
            return
        self._labels.append(np.array([NUMBER.get(name, len(AGENT_CLASSES)) for name in categories], np.int8))
        self._boxes.append(frame["agents"]["boxes"][:, :6])

    def speeds(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Of all key frames: as `Drive.speeds`."""
        found = [drive.speeds() for drive in self.drives.values()] or [(np.zeros(0), np.zeros(0))]
        can, poses = (np.concatenate(one) for one in zip(*found, strict=True))
        return can, poses

    def labels(self) -> Int[np.ndarray, " boxes"]:
        """Index in AGENT_CLASSES, and one more for what is no agent."""
        return np.concatenate([np.zeros(0, np.int8), *self._labels])

    def boxes(self) -> Float[np.ndarray, "boxes 6"]:
        """cx, cy, cz, w, l, h in the LiDAR frame; meters."""
        return np.concatenate([np.zeros((0, 6), np.float32), *self._boxes])

    def problems(self) -> Iterator[Problem]:
        """What the numbers of a scene, and of the split, say that cannot be."""
        for scene, drive in self.drives.items():
            yield from (Problem(rules.SPEED, scene, "", detail) for detail in _speed_problems(*drive.speeds()))
        for detail in _size_problems(self.labels(), self.boxes()):
            yield Problem(rules.SIZE, "", "", detail)
        if len(self.drives) >= LEAST_SCENES:
            for missing in sorted(set(range(len(COMMANDS))) - set(self.commands)):
                yield Problem(rules.COMMAND, "", "", f"no key frame has the command {COMMANDS[missing]!r}")


NUMBER = {category: AGENT_CLASSES.index(name) for category, name in CLASS_OF_CATEGORY.items()}


def _speed_problems(can: Float[np.ndarray, " n"], poses: Float[np.ndarray, " n"]) -> Iterator[str]:
    with np.errstate(invalid="ignore"):
        tells = np.isfinite(can + poses) & (np.maximum(can, poses) > SLOWEST)
    if tells.sum() < LEAST_FRAMES:
        return
    by_can, by_poses = float(np.median(can[tells])), float(np.median(poses[tells]))
    error = float(np.median(np.abs(can[tells] - poses[tells])))
    if error > SPEED_TOLERANCE + SPEED_SHARE * by_poses:
        yield f"{by_can:.1f} m/s by the CAN bus and {by_poses:.1f} m/s by the ego poses (medians of {tells.sum()} frames)"


def _size_problems(labels: Int[np.ndarray, " n"], boxes: Float[np.ndarray, "n 6"]) -> Iterator[str]:
    sides = boxes[:, 3:5].max(axis=1, initial=0.0)
    for label, (name, typical) in enumerate(TYPICAL_SIDE.items()):
        mine = sides[labels == label]
        if len(mine) >= LEAST_BOXES:
            middle = float(np.median(mine))
            if not typical / MAX_FACTOR < middle < typical * MAX_FACTOR:
                yield f"the longer side of a {name.replace('_', ' ')} is {middle:.2f} m (median of {len(mine)}), not about {typical} m"
