"""Batches for training: windows of key frames in one endless shuffled order (`order.py`), read ahead by threads.

The order depends on the seed and `data.shuffle_scenes`. A window's random choices (history, question, distortion,
augmentation) depend on the seed and its place in that order. So the reader's whole state is one integer, the number of
windows consumed, whatever the batch size, the number of processes or of threads.
"""

import collections
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from dima_jax.data import augment, distortion, facts, held_out, questions, targets, windows
from dima_jax.data.ego_inputs import can_bus_input, command_input
from dima_jax.data.fake_batch import example, spec
from dima_jax.data.frames import Frames, KeyFrame
from dima_jax.data.order import order
from dima_jax.data.prompts import edit_texts, tokenizer_of
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.teacher_cache import TeacherCache
from dima_jax.types import AgentTargets, Batch, EditText, Facts, MapTargets, TaughtEgo, Text

__all__ = ["TrainWindows", "example", "num_train_windows", "spec", "train_batches"]


def num_train_windows(config) -> int:
    """Windows of an epoch: one for every key frame of the training split. Raises UserError without records, or without
    what `data.hold_out_paths` and `auxiliary.facts` need of them.
    """
    records = Records(config.data.path, config.data.train_split)
    held_out.frames(records, config.data.hold_out_paths)
    if config.auxiliary.facts:
        facts.of_training(config)
    return len(records)


def train_batches(config, position: int = 0) -> Iterator[Batch]:
    """Endless batches of numpy arrays, starting with window `position` of the order.

    Each process reads its own share of `config.data.batch_size` alone; the shares of all processes make the batch. While
    one batch is used, the next ones are made: as many as fit in `config.data.prefetch_gib`, one at least, two for each
    thread at most. Close the iterator to stop the threads. Raises UserError for missing or damaged records, and for a config
    that does not fit them or asks for an augmentation that cannot be.
    """
    processes, process = jax.process_count(), jax.process_index()
    share, rest = divmod(config.data.batch_size, processes)
    if rest:
        raise UserError(f"config.data.batch_size={config.data.batch_size} is no multiple of {processes} processes")
    starts = itertools.count(position + process * share, config.data.batch_size)
    return _read_ahead(TrainWindows(config), starts, share)


def _read_ahead(reader: "TrainWindows", starts: Iterator[int], size: int) -> Iterator[Batch]:
    """The batches of `size` windows from each place on. Every window is a task of a thread, the earliest first."""
    data = reader.config
    shape = (size, *reader.images_shape)
    ahead = int(np.clip(data.prefetch_gib * 2**30 // max(int(np.prod(shape)), 1), 1, 2 * data.workers))
    pool = ThreadPoolExecutor(data.workers, thread_name_prefix="reader")
    waiting: collections.deque = collections.deque()
    try:
        for start in starts:
            images = np.empty(shape, np.uint8)
            tasks = [pool.submit(reader.sample, start + i, images[i]) for i in range(size)]
            waiting.append((images, tasks))
            if len(waiting) > ahead:
                images, tasks = waiting.popleft()
                yield _stack([task.result() for task in tasks], images)
    finally:
        pool.shutdown(cancel_futures=True)


def _stack(samples: list[Batch], images: np.ndarray) -> Batch:
    """A batch of windows whose images lie one after the other in `images` already."""
    rest = jax.tree.map(lambda *leaves: np.stack(leaves), *[sample.replace(images=()) for sample in samples])
    return rest.replace(images=images)


class Derived(NamedTuple):
    """What a window takes of its current record alone, made once while the frame stays in memory: do not write to it.

    agents_cut, map_cut: how many did not fit. questions: see `questions.candidates`. facts: None without
    `auxiliary.facts`.
    """

    agents: AgentTargets
    agents_cut: int
    map: MapTargets
    map_cut: int
    questions: tuple[list[tuple[str, str]], ...]
    facts: Facts | None


class TrainWindows:
    """The endless order of training windows: `sample(position)`; safe to use from several threads.

    images_shape: (T, N, H, W, 3). cut: how many agents, map lines and text tokens padding has cut so far, by config key.
    """

    def __init__(self, config):
        augment.check(config)
        data, student = config.data, config.student
        self.config, self.seed = data, config.seed
        self.pc_range, self.num_points = student.pc_range, student.num_points
        records = Records(data.path, data.train_split)
        self.records = records
        self.images_shape = (data.history + 1 + data.future, len(data.cameras), *data.image_shape, 3)
        self.frames = Frames(
            records,
            data.cameras,
            data.image_scale,
            data.valid_shape,
            data.image_shape,
            data.color_order,
            data.cache_gib,
            derive=self._derive,
        )
        self.taught = _taught(config, records) if config.distill.cache else None
        self.held_out = held_out.frames(records, data.hold_out_paths)
        self.facts = facts.of_training(config) if config.auxiliary.facts else None
        self.tokenizer = tokenizer_of(config)
        self.edit_text = EditText(*edit_texts(self.tokenizer, data.max_text)[:3])
        self.cut: collections.Counter = collections.Counter()
        self._order = order(records.scenes, config.seed, data.shuffle_scenes)

    def batch(self, position: int, size: int) -> Batch:
        """Windows position, ..., position + size - 1 of the order."""
        images = np.empty((size, *self.images_shape), np.uint8)
        return _stack([self.sample(position + i, images[i]) for i in range(size)], images)

    def sample(self, position: int, images: np.ndarray | None = None) -> Batch:
        """Window number `position` of the order, without batch axis.

        images: an array of `images_shape` and uint8 that its images are written to.
        """
        images = np.empty(self.images_shape, np.uint8) if images is None else images
        record = int(self._order[position])
        rng = np.random.default_rng((self.seed, position))
        data = self.config
        frame_index, scene_length = self.records.frames[record], self.records.lengths[record]
        window = windows.window(record, frame_index, scene_length, data.history, data.future, rng, data.random_start)
        frames = [self.frames[int(i)] for i in window.records]
        current = frames[data.history]
        known = current.derived
        text = questions.choose(known.questions, self.tokenizer, data.max_text, rng)
        self._count(max_agents=known.agents_cut, max_map=known.map_cut, max_text=text.cut)
        ego = current.record["ego"]
        window_batch = Batch(
            images=self._images(frames, window.mask, images),
            lidar2img=np.stack([frame.lidar2img for frame in frames]).astype(np.float32),
            can_bus=can_bus_input([frame.record["can_bus"] for frame in frames], data.ego_status, window.records),
            frame_mask=window.mask,
            frame_to_current=_to_current(frames, current),
            command=command_input(ego["command"], data.command),
            agents=known.agents,
            map=known.map,
            ego=targets.ego_targets(ego, is_held_out=bool(self.held_out[record])),
            text=Text(*text[:3]),
            edit_text=self.edit_text,
            index=np.int32(record),
            taught=jax.tree.map(lambda array: array[record], self.taught),
            facts=known.facts,
            distortion=distortion.draw(rng, data.history + 1, len(frames), len(data.cameras), data.color_order)
            if data.photometric
            else None,
        )
        sample = augment.augment(window_batch, data, self.pc_range, rng)
        if sample.images is not images:  # mirrored
            np.copyto(images, sample.images)
        return sample.replace(images=images)

    def _derive(self, record: dict) -> "Derived":
        data = self.config
        agents, agents_cut = targets.agent_targets(record["agents"], "train", self.pc_range, data.max_agents)
        lines, map_cut = targets.map_targets(record["map"], self.pc_range, self.num_points, data.max_map)
        said = self.facts and facts.targets(self.facts, facts.said(record, self.tokenizer, data.max_text))
        return Derived(agents, agents_cut, lines, map_cut, questions.candidates(record), said)

    def _images(self, frames: list[KeyFrame], mask: np.ndarray, images: np.ndarray) -> np.ndarray:
        """`images`, [T, N, H, W, 3], filled: black where the future is absent."""
        for t, (place, frame) in enumerate(zip(images, frames, strict=True)):
            place[...] = frame.images if t <= self.config.history or mask[t] else 0
        return images

    def _count(self, **cut: int) -> None:
        for key, number in cut.items():
            if number and not self.cut[key]:
                logging.warning("config.data.%s=%d cuts what a frame holds (here %d)", key, self.config[key], number)
            self.cut[key] += number


def _taught(config, records: Records) -> TaughtEgo:
    cache = TeacherCache(config.distill.cache)
    cache.check_form(config.distill)
    return TaughtEgo(*cache.load(records, config.student))


def _to_current(frames: list[KeyFrame], current: KeyFrame) -> np.ndarray:
    """[T, 4, 4] float32: LiDAR frame of each frame to that of the current one, made relative in float64."""
    poses = np.stack([frame.lidar2global for frame in frames])
    return (np.linalg.inv(current.lidar2global) @ poses).astype(np.float32)
