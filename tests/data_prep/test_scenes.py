"""Missing parts of a nuScenes root, and its splits."""

import json
import shutil

import pytest

from data_prep.scenes import Root
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: shutil.rmtree(r), r"root: no such folder; --dataroot is the folder"),
        (lambda r: (r / "v1.0-mini").rename(r / "v1.0-x"), r"v1\.0-mini: no such folder; --version should be one of \['v1\.0-x'\]"),
        (lambda r: (r / "v1.0-mini" / "ego_pose.json").unlink(), r"ego_pose\.json: missing table; unpack"),
        (lambda r: (r / "v1.0-mini" / "map.json").write_text("["), r"map\.json: not valid JSON"),
        (lambda r: (r / "maps" / "dummy.png").unlink(), r"dummy\.png: missing map image"),
        (lambda r: shutil.rmtree(r / "can_bus"), r"can_bus: no such folder; unpack the nuScenes CAN bus expansion"),
        (
            lambda r: (r / "maps" / "expansion" / "singapore-onenorth.json").unlink(),
            r"singapore-onenorth\.json: missing; unpack the nuScenes map expansion",
        ),
    ],
)  # fmt: skip
def test_missing_parts_name_file_and_remedy(copy, damage, message):
    damage(copy)
    with pytest.raises(UserError, match=message):
        tiny_root.key_frames(copy).record(0, {})


def test_splits_of_a_set_of_ones_own(copy):
    path = copy / tiny_root.VERSION / "splits.json"
    path.write_text(json.dumps({"own_val": ["scene-0061"], "own_train": ["scene-0103"]}))
    names = {split: [s["name"] for s in rows] for split, rows in Root(str(copy), tiny_root.VERSION).splits().items()}
    assert names == {"val": ["scene-0061"], "train": ["scene-0103"]}
    path.write_text(json.dumps({"own_val": ["scene-9999"]}))
    with pytest.raises(UserError, match=r"splits\.json: scene scene-9999 is not in scene\.json"):
        Root(str(copy), tiny_root.VERSION).splits()


@pytest.mark.parametrize(
    "content", ["[]", '{"a_val": "scene-0061"}', '{"a_val": [1]}', '{"a_../x": ["scene-0061"]}', "{"]
)
def test_splits_that_are_none(copy, content):
    path = copy / tiny_root.VERSION / "splits.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"splits\.json: "):
        Root(str(copy), tiny_root.VERSION).splits()


@pytest.mark.parametrize("kind", ["pose", "steeranglefeedback"])
def test_can_bus_files(copy, kind):
    root = Root(str(copy), tiny_root.VERSION)
    scene = root.tables.scene[0]
    path = copy / "can_bus" / f"{scene['name']}_{kind}.json"
    text = path.read_text()
    messages = json.loads(text)
    assert root.can_messages(scene, kind) == messages
    for content in (text[: len(text) // 2], "", "<html>"):
        path.write_text(content)
        with pytest.raises(UserError, match=rf"{path.name}: not valid JSON .*; unpack the nuScenes CAN bus"):
            root.can_messages(scene, kind)
    field = "vel" if kind == "pose" else "value"
    for change in ({field: "x"}, {field: [1, 2]}, {field: float("nan")}, {"utime": None}, {"more": 1}):
        path.write_text(json.dumps([*messages, messages[0] | change]))
        with pytest.raises(
            UserError, match=rf"{path.name}: message {len(messages)} is no whole {kind} message; unpack"
        ):
            root.can_messages(scene, kind)
    path.write_text("{}")
    with pytest.raises(UserError, match="no list of messages"):
        root.can_messages(scene, kind)
    path.unlink()
    assert root.can_messages(scene, kind) is None
    assert root.can_messages({"name": "a drive of mine"}, kind) is None
