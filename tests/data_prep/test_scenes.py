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
        (lambda r: (r / "v1.0-mini" / "map.json").write_text("["), r"map\.json: not valid JSON"),
        (
            lambda r: (r / "maps" / "expansion" / "singapore-onenorth.json").unlink(),
            r"singapore-onenorth\.json: missing; unpack the nuScenes map expansion",
        ),
    ],
)  # fmt: skip
def test_a_root_that_was_not_checked_names_file_and_remedy(copy, damage, message):
    damage(copy)
    with pytest.raises(UserError, match=message):
        tiny_root.key_frames(copy).record(0, {})


def test_splits_of_a_set_of_ones_own(copy):
    path = copy / tiny_root.VERSION / "splits.json"
    path.write_text(json.dumps({"own_val": ["scene-0061"], "own_train": ["scene-0103"]}))
    names = {split: [s["name"] for s in rows] for split, rows in Root(str(copy), tiny_root.VERSION).splits().items()}
    assert names == {"val": ["scene-0061"], "train": ["scene-0103"]}


def test_can_messages(copy):
    root = Root(str(copy), tiny_root.VERSION)
    scene = root.tables.scene[0]
    path = copy / "can_bus" / f"{scene['name']}_pose.json"
    assert root.can_messages(scene, "pose") == json.loads(path.read_text())
    path.unlink()
    assert root.can_messages(scene, "pose") is None
    assert root.can_messages({"name": "a drive of mine"}, "pose") is None
    assert root.can_messages({"name": "scene-0161"}, "pose") is None
