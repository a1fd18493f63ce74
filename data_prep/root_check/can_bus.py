"""The CAN bus of every scene: whole messages, of the time of the scene."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nuscenes.can_bus.can_bus_api import NuScenesCanBus

from data_prep.root_check import fields
from data_prep.root_check.problems import ERROR, NOTE, SKIP, Files
from data_prep.root_check.reading import read_json
from data_prep.root_check.schema import Table
from dima_jax.errors import UserError

REMEDY = "unpack the nuScenes CAN bus expansion again"
FIELDS = {  # {kind of message: {field that is read: how many numbers}}
    "pose": {"accel": 3, "orientation": 4, "pos": 3, "rotation_rate": 3, "vel": 3},
    "steeranglefeedback": {"value": 1},
}
TIME = fields.whole(1, fields.LATEST - 1)  # microseconds
FARTHEST = 1.0  # seconds between a key frame and the message that is taken for it


def file_of(root: Path, scene: str, kind: str) -> Path:
    return root / "can_bus" / f"{scene}_{kind}.json"


def is_excluded(root: Path, scene: str) -> bool:
    """Whether nuScenes recorded no usable CAN bus for this scene of its own; False for a root without can_bus/."""
    if not (root / "can_bus").is_dir():
        return False
    number = scene.removeprefix("scene-")
    excluded = NuScenesCanBus(dataroot=str(root)).can_blacklist
    return number.isdecimal() and int(number) in excluded


def read(path: Path, kind: str) -> list[dict]:
    """The messages of a file, put in order of time: at least one, with "utime" (microseconds) and FIELDS[kind].

    Raises UserError for a file that is cut, and for a message that lacks a number.
    """
    return sorted(_recorded(path, kind), key=_time)  # stable: the order of messages of one time is kept


def _time(message: dict) -> int:
    return message["utime"]


def _recorded(path: Path, kind: str) -> list[dict]:
    """`read` in the order of the file."""
    messages = read_json(path, REMEDY)
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{path}: no list of messages; {REMEDY}")
    for i, message in enumerate(messages) if not _are_messages(messages, FIELDS[kind]) else ():
        if not _is_message(message, FIELDS[kind]):
            raise UserError(f"{path}: message {i} is no whole {kind} message; {REMEDY}")
    return messages


def _are_messages(messages: list, wanted: dict[str, int]) -> bool:
    """Whether each is one (`_is_message`), as far as that is seen in whole columns: False says nothing."""
    if set(map(type, messages)) != {dict} or TIME.pack([message.get("utime") for message in messages]) is None:
        return False
    for field, count in wanted.items():
        values = [message.get(field) for message in messages]
        packed = fields.pack_vectors(values if count > 1 else [[value] for value in values], count)
        if packed is None or not (np.abs(packed) < LARGEST).all():
            return False
    return True


def _is_message(message, wanted: dict[str, int]) -> bool:
    """Whether it holds its time and these fields, each of so many finite numbers."""
    if not isinstance(message, dict) or not TIME.fits(message.get("utime")):
        return False
    for field, count in wanted.items():
        found = message.get(field)
        numbers = found if isinstance(found, list) else [found]
        if isinstance(found, list) != (count > 1) or len(numbers) != count:
            return False
        if not all(type(n) in (int, float) and abs(n) < LARGEST for n in numbers):
            return False
    return True


LARGEST = 1e8  # of any number of a message; NaN and infinity are not below it


def problems(root: Path, tables: dict[str, Table], used: set[str]) -> Iterator[Files]:
    """used: the names of the scenes that are built."""
    lines: dict[str, list[str]] = {"error": [], "without": [], "excluded": [], "far": [], "disordered": []}
    times, folder = _times(tables), f"{root}/can_bus"
    if not (root / "can_bus").is_dir():
        line = f"{folder}: no such folder; rotation rates and speeds of the records are differences of the poses"
        remedy = f"unpack the nuScenes CAN bus expansion into {root}, if there is one"
        yield Files(SKIP, folder, "a root without CAN bus", [line], remedy)
        return
    for name in sorted(used):
        if is_excluded(root, name):
            lines["excluded"].append(f"{root}/can_bus: {name}: nuScenes excludes its CAN bus")
            continue
        for kind in FIELDS:
            path = file_of(root, name, kind)
            if not path.is_file():
                lines["without"].append(f"{path}: missing; the records of {name} have what its poses give")
                continue
            try:
                messages = _recorded(path, kind)
                if earlier := [i for i, (a, b) in enumerate(itertools.pairwise(messages), 1) if _time(b) < _time(a)]:
                    lines["disordered"].append(f"{path}: message {earlier[0]} is earlier than the one before it")
                problem, is_error = _time_problem(sorted(messages, key=_time), *times[name])
            except UserError as error:
                problem, is_error = str(error).removesuffix(f"; {REMEDY}").removeprefix(f"{path}: "), True
            if problem:
                lines["error" if is_error else "far"].append(f"{path}: {problem}")
    yield Files(ERROR, folder, "CAN bus files are whole and of the time of their scene", lines["error"], REMEDY)
    yield Files(SKIP, folder, "scenes without CAN bus", lines["without"], REMEDY)
    yield Files(SKIP, folder, "messages that are not in order of time are put in order", lines["disordered"], REMEDY)
    yield Files(SKIP, folder, f"key frames more than {FARTHEST:.0f} s from any message", lines["far"], REMEDY)
    yield Files(NOTE, folder, "scenes whose CAN bus nuScenes excludes", lines["excluded"], "none is needed")


def _times(tables: dict[str, Table]) -> dict[str, tuple[np.ndarray, list[str]]]:
    """{scene: times of its samples, their tokens}, in order."""
    sample = tables["sample"]
    order = np.lexsort((sample["timestamp"], sample.links["scene_token"]))
    starts = np.searchsorted(sample.links["scene_token"][order], np.arange(tables["scene"].count + 1))
    return {
        row["name"]: (sample["timestamp"][part], [sample.rows[i]["token"] for i in part])
        for row, part in zip(tables["scene"].rows, np.split(order, starts[1:-1]), strict=True)
    }


def _time_problem(messages: list[dict], samples: np.ndarray, tokens: list[str]) -> tuple[str, bool]:
    """What is wrong with the times of messages, "" for nothing, and whether no key frame has its message."""
    times = np.array([message["utime"] for message in messages])
    after = np.searchsorted(times, samples)
    gaps = np.minimum(
        np.abs(times[np.minimum(after, len(times) - 1)] - samples), np.abs(times[np.maximum(after - 1, 0)] - samples)
    )
    far = np.flatnonzero(gaps > FARTHEST * 1e6)
    if len(far) == len(samples):
        return f"its messages are of another time than the key frames of the scene (sample {tokens[0]})", True
    if len(far):
        worst = gaps[far[0]] / 1e6
        return (
            f"{len(far)} key frames are more than {FARTHEST:.0f} s from any message (sample {tokens[far[0]]}: {worst:.1f} s)",
            False,
        )
    return "", False
