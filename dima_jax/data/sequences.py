"""Recorded drives in order of time, for evaluation: what the student sees of each key frame, what was there, and where.

The CAN bus is VAD's at test time (docs/vad.md#can-bus): position and yaw relative to the frame before, 0 in the first
frame of a scene. Targets are never cut: their padding grows where a frame holds more than the config's.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import grain
import jax
import numpy as np

from dima_jax.data import targets, transforms
from dima_jax.data.ego_inputs import can_bus_input, command_input
from dima_jax.data.features import NUM_FUTURE
from dima_jax.data.frames import Frames
from dima_jax.data.records import Records
from dima_jax.data.scene_tags import scene_tags
from dima_jax.types import AgentTargets, EgoTargets, Frame, MapTargets

MOST_CACHE_GIB = 1.0  # of decoded frames: a drive needs each once, and small data sets are read several times


class DriveFrame(NamedTuple):
    """One key frame of a recorded drive. All arrays of frame, agents, map and ego have a batch axis of 1.

    is_first: the scene starts here, so there is no previous BEV. future_valid: the next six key frames exist, which the
    planning metrics require. command: index in `constants.COMMANDS`, also where the student's input withholds it. speed:
    m/s by the CAN bus, by the poses in data without one. cameras: names; jpegs, camera_matrices: the files as stored, of
    config.data.cameras, and lidar2img [N, 4, 4] to their pixels, for figures. index: number of the record in the
    split.
    """

    frame: Frame
    agents: AgentTargets
    map: MapTargets
    ego: EgoTargets
    index: int
    sample_token: str
    scene: str
    description: str
    tags: tuple[str, ...]
    frame_index: int
    is_first: bool
    future_valid: bool
    command: int
    speed: float
    timestamp: int
    lidar2global: np.ndarray
    cameras: list[str]
    paths: list[str]
    jpegs: list[bytes]
    camera_matrices: np.ndarray
    questions: list[tuple[str, str, str]]


def iterate_scenes(config, split: str) -> Iterator[DriveFrame]:
    """Every key frame of a split, scene by scene, in order of time. Raises UserError for missing or damaged records."""
    reader = Drives(config, split)
    return reader.iterate(range(len(reader)), config.data.workers)


class Drives:
    """The key frames of a split by number; safe to use from several threads."""

    def __init__(self, config, split: str):
        data = config.data
        self.config, self.split = data, split
        self.pc_range, self.num_points = config.student.pc_range, config.student.num_points
        self.records = Records(data.path, split)
        self.frames = Frames(
            self.records,
            data.cameras,
            data.image_scale,
            data.valid_shape,
            data.image_shape,
            data.color_order,
            min(data.cache_gib, MOST_CACHE_GIB),
            keep_jpegs=True,
        )

    def __len__(self) -> int:
        return len(self.records)

    def iterate(self, numbers: Sequence[int], threads: int) -> Iterator[DriveFrame]:
        """The key frames of these numbers in their order, read ahead by so many threads."""
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        return iter(grain.MapDataset.source(numbers).map(lambda i: self[int(i)]).to_iter_dataset(options))

    def targets(self, record: dict) -> tuple[AgentTargets, MapTargets]:
        """What was there in a key frame, without batch axis. record: its groups `agents` and `map`."""
        most = max(self.config.max_agents, len(record["agents"]["boxes"]))
        agents, _ = targets.agent_targets(record["agents"], self.split, self.pc_range, most)
        most = max(self.config.max_map, len(record["map"]["lengths"]))
        return agents, targets.map_targets(record["map"], self.pc_range, self.num_points, most)[0]

    def __getitem__(self, i: int) -> DriveFrame:
        data, key_frame = self.config, self.frames[i]
        record, cameras = key_frame.record, key_frame.record["cameras"]
        first = i - 1 if record["frame_index"] else i
        before = self.frames[first].record
        frame = Frame(
            images=key_frame.images,
            lidar2img=key_frame.lidar2img.astype(np.float32),
            can_bus=can_bus_input([before["can_bus"], record["can_bus"]], data.ego_status, [first, i])[1],
            command=command_input(record["ego"]["command"], data.command),
        )
        there = (*self.targets(record), targets.ego_targets(record["ego"]))
        batched = jax.tree.map(lambda x: x[None], (frame, *there))
        return DriveFrame(
            *batched,
            index=i,
            sample_token=record["sample_token"],
            scene=record["scene"]["name"],
            description=record["scene"]["description"],
            tags=scene_tags(record["scene"]["description"]),
            frame_index=record["frame_index"],
            is_first=record["frame_index"] == 0,
            future_valid=record["frame_index"] + NUM_FUTURE < record["scene_length"],
            command=record["ego"]["command"],
            speed=float(record["ego"]["status"][7]),
            timestamp=record["timestamp"],
            lidar2global=key_frame.lidar2global,
            cameras=cameras["names"],
            paths=cameras["paths"],
            jpegs=cameras["images"],
            camera_matrices=transforms.lidar2img(
                cameras["intrinsics"], cameras["sensor2lidar"], [1.0] * len(data.cameras)
            ),
            questions=list(zip(*(record["qa"][name] for name in ("kinds", "questions", "answers")), strict=True)),
        )
