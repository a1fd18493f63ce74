"""Files of the CAN bus: whole, in order, of the time of their scene."""

import json

import pytest

from data_prep.root_check import can_bus, checking
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.mark.parametrize("kind", ["pose", "steeranglefeedback"])
def test_a_file_that_is_not_whole(whole, tmp_path, kind):
    text = can_bus.file_of(whole, "scene-0061", kind).read_text()
    messages, path = json.loads(text), tmp_path / f"scene-0061_{kind}.json"
    for content in (text[: len(text) // 2], "", "<html>"):
        path.write_text(content)
        with pytest.raises(UserError, match=rf"{path.name}: not valid JSON .*; unpack the nuScenes CAN bus"):
            can_bus.read(path, kind)
    field = "vel" if kind == "pose" else "value"
    for change in ({field: "x"}, {field: [1, 2]}, {field: float("nan")}, {"utime": None}, {field: 10**400}):
        path.write_text(json.dumps([*messages, messages[0] | change]))
        with pytest.raises(UserError, match=rf"message {len(messages)} is no whole {kind} message; unpack"):
            can_bus.read(path, kind)
    for content in ([], {}):
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match="no list of messages"):
            can_bus.read(path, kind)
    same = messages[0] | {"more": 2}
    path.write_text(json.dumps([*messages[::-1], same]))
    assert can_bus.read(path, kind) == [messages[0], same, *messages[1:]]
    path.write_text(json.dumps([message | {"more": 1} for message in messages]))
    assert len(can_bus.read(path, kind)) == len(messages)


@pytest.mark.parametrize(
    ("shift", "keep", "kind", "words"),
    [
        (
            3_600_000_000,
            1.0,
            "error",
            "its messages are of another time than the key frames of the scene (sample smp_0008)",
        ),
        (0, 0.5, "skip", "key frames are more than 1 s from any message (sample smp_00"),
        (0, None, "skip", "missing; the records of scene-0061 have what its poses give"),
    ],
)
def test_times_of_messages(damaged, shift, keep, kind, words):
    path = can_bus.file_of(damaged, "scene-0061", "pose")
    before = path.read_text()
    messages = json.loads(before)
    path.unlink()
    if keep:
        messages = [message | {"utime": message["utime"] + shift} for message in messages]
        path.write_text(json.dumps(messages[: int(len(messages) * keep)]))
    report = checking.check(str(damaged), tiny_root.VERSION)
    path.write_text(before)
    (finding,) = report.of_kind("error", "skip")
    assert finding.kind == kind and f"{path}: " in finding.lines[0] and words in finding.lines[0]


def test_messages_in_another_order(damaged):
    path = can_bus.file_of(damaged, "scene-0061", "pose")
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before)[::-1]))
    report = checking.check(str(damaged), tiny_root.VERSION)
    path.write_text(before)
    (finding,) = report.of_kind("error", "skip")
    assert finding.kind == "skip" and finding.lines == [f"{path}: message 1 is earlier than the one before it"]


def test_scenes_that_nuscenes_excludes(whole):
    assert can_bus.is_excluded(whole, "scene-0161")
    assert not can_bus.is_excluded(whole, "scene-0061") and not can_bus.is_excluded(whole, "my drive")
