"""The checks of finished records: what is wrong with which key frame, scene or split, and what was read on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.record_check import frames, order, pictures, projection, rules, tags
from data_prep.record_check.projection import Seen
from data_prep.record_check.readings import Readings
from data_prep.record_check.rules import Problem, Rule
from data_prep.record_check.tags import Tagged
from data_prep.root_check.problems import ERROR
from data_prep.root_check.report import Report
from dima_jax import progress
from dima_jax.data import records
from dima_jax.data.scene_tags import scene_tags
from dima_jax.errors import UserError

LISTER = "python -m data_prep.validate"


class Scene:
    """What the key frames of one scene are and have in common, as they come."""

    def __init__(self, frame: dict):
        scene = frame["scene"]
        self.tags = scene_tags(scene["description"]) or tuple(filter(None, [scene["location"]]))
        self.frames: list[int] = []  # numbers of its records in the split
        self.asked: list[int] = []  # of those with questions
        self.coverage = 1.0
        self.seen: dict[str, Seen] = {}
        self.tagged: dict[str, Tagged] = {}

    def problems(self) -> Iterator[tuple[Rule, str]]:
        yield from projection.scene_problems(self.seen, self.coverage)
        yield from tags.scene_problems(self.tagged)


class Split:
    """One split: its problems, and what was read. reader: None where the records cannot be opened."""

    def __init__(self, name: str, reader: records.Records | None):
        self.name, self.reader = name, reader
        self.problems: list[Problem] = []
        self.scenes: dict[str, Scene] = {}
        self.readings = Readings()
        self.decoded = 0  # images

    def seen(self) -> dict[str, Seen]:
        """Of all scenes together."""
        return _sums([scene.seen for scene in self.scenes.values()])

    def tagged(self) -> dict[str, Tagged]:
        """Of all scenes together, by camera."""
        return _sums([scene.tagged for scene in self.scenes.values()])

    def summary(self) -> str:
        """One line."""
        parts = [f"{hits / n:.0%} of {n} {name} are in an image" for name, (n, hits) in self.seen().items() if n]
        found = self.tagged().values()
        if count := sum(one.tags for one in found):
            parts.append(f"{sum(one.on_box for one in found) / count:.0%} of {count} tags are on a box")
        parts.append(f"{self.decoded} images decoded")
        frames = len(self.reader) if self.reader else 0
        head = f"{self.name}: {frames} key frames of {len(self.scenes)} scenes, {len(self.problems)} problems"
        return "; ".join([head, *parts])


class Checked(NamedTuple):
    report: Report
    splits: list[Split]


def validate(folder: str, decode_share: float = 0.0, seed: int = 0) -> Checked:
    """Checks the records in `folder`; prints a summary line per split.

    decode_share: of the images, which are chosen by the seed, is decoded as a whole. Raises UserError for a folder without
    dataset_info.json.
    """
    report, splits = Report(folder, lister=f"{LISTER} --data={folder} --decode_share={decode_share} --seed={seed}"), []
    for name in records.shard_lengths(Path(folder)):
        try:
            split = Split(name, records.Records(folder, name))
            _check(split, decode_share, seed)
        except UserError as error:
            split = Split(name, None)
            split.problems.append(Problem(rules.RECORD, "", "", str(error)))
        print(split.summary())
        report.add(rules.grouped(name, split.problems))
        splits.append(split)
    return Checked(report, splits)


def _check(split: Split, decode_share: float, seed: int) -> None:
    reader, previous = split.reader, None
    names = projection.camera_names
    decoded = None
    for i in progress.each(range(len(reader)), len(reader), "frame", name=split.name):
        try:
            frame = reader.decode(i)
        except UserError as error:
            split.problems.append(Problem(rules.RECORD, "", "", str(error)))
            previous = None
            continue
        if decoded is None:
            decoded = pictures.chosen(len(reader), len(names(frame)), decode_share, seed)
        scene = split.scenes.setdefault(reader.scenes[i], Scene(frame))
        found = [*_frame_problems(frame, scene), *order.problems(frame, previous, (reader.scenes[i], reader.frames[i]))]
        if rules.IMAGE not in {rule for rule, _ in found}:
            found += _picture_problems(split, frame, decoded[i])
        split.problems += [Problem(rule, reader.scenes[i], reader.samples[i], detail) for rule, detail in found]
        scene.frames.append(i)
        if frame["qa"]["questions"]:
            scene.asked.append(i)
        split.readings.add(frame)
        previous = frame
    if previous is not None and (ended := order.unfinished(previous)):
        split.problems.append(Problem(rules.ORDER, previous["scene"]["name"], "", ended))
    for name, scene in split.scenes.items():
        split.problems += [Problem(rule, name, "", detail) for rule, detail in scene.problems()]
    split.problems += split.readings.problems()


def _frame_problems(frame: dict, scene: Scene) -> list[tuple[Rule, str]]:
    """Of the key frame alone; what is seen and tagged is added to its scene."""
    found = list(frames.problems(frame))
    named, without_box = tags.named(frame), tags.without_box(frame)
    sound = not any(rule.kind == ERROR for rule, _ in found)
    found += tags.problems(named)
    if sound:
        found += projection.camera_problems(frame)
        rig = projection.rig(frame)
        seen = projection.seen(frame, rig)
        found += projection.frame_problems(seen, rig)
        scene.coverage = min(scene.coverage, rig.coverage)
        scene.seen = _sums([scene.seen, seen])
        boxed = [tag for tag in named if tag not in without_box]
        scene.tagged = _sums([scene.tagged, tags.on_boxes(boxed, frame["agents"]["boxes"], rig)])
    return found


def _picture_problems(split: Split, frame: dict, chosen: np.ndarray) -> Iterator[tuple[Rule, str]]:
    cameras = frame["cameras"]
    for number in np.flatnonzero(chosen):
        split.decoded += 1
        if found := pictures.problem(cameras["images"][number]):
            name = projection.camera_names(frame)[number]
            yield found[0], f"{name}, {cameras['paths'][number]}: {found[1]}"


def _sums(groups: list[dict]) -> dict:
    """Numbers of tuples of equal keys added up."""
    total: dict = {}
    for group in groups:
        for key, one in group.items():
            total[key] = type(one)(*np.add(total[key], one).tolist()) if key in total else one
    return total
