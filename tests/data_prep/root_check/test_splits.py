"""The splits of a root."""

import json

import pytest

from data_prep.root_check import checking, splits
from dima_jax.errors import UserError
from tests import tiny_root

HERE = {"scene-0061", "scene-0103"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "not splits"),
        ('{"a_val": "scene-0061"}', "not splits"),
        ('{"a_val": [1]}', "not splits"),
        ('{"a_../x": ["scene-0061"]}', "must be of letters and digits"),
        ("{", "not valid JSON"),
        ('{"a_val": ["scene-0061"], "b_val": []}', "the same ending"),
        (
            '{"a_train": ["scene-0061"], "a_val": ["scene-0061"]}',
            "scene 'scene-0061' is in train and in val; leave it in one",
        ),
        ('{"a_train": ["scene-0061", "scene-0061"]}', "scene 'scene-0061' is in train and in train; leave it in one"),
        ('{"a_val": ["scene-9999"]}', "scene 'scene-9999' is not in scene.json"),
    ],
)
def test_splits_that_are_none(tmp_path, content, words):
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(UserError) as raised:
        splits.scenes(tmp_path, HERE)
    assert f"{tmp_path}/splits.json: " in str(raised.value) and words in str(raised.value)


def test_splits_of_nuscenes(tmp_path):
    assert splits.scenes(tmp_path / "v1.0-mini", HERE) == {"train": ["scene-0061"], "val": ["scene-0103"]}
    with pytest.raises(UserError, match="none of its scenes is in a split"):
        splits.scenes(tmp_path / "v1.0-test", HERE)
    with pytest.raises(UserError, match=r"splits\.json: missing, and version v1\.0-mine has no predefined splits"):
        splits.scenes(tmp_path / "v1.0-mine", HERE)


def test_unlisted_and_absent_scenes(damaged):
    path = damaged / tiny_root.VERSION / "splits.json"
    before = path.read_text()
    path.write_text(json.dumps({"own_val": ["scene-0103"]}))
    unlisted = checking.check(str(damaged), tiny_root.VERSION).of_kind("skip")
    path.unlink()
    absent = checking.check(str(damaged), tiny_root.VERSION).of_kind("note")
    path.write_text(before)
    assert [finding.lines for finding in unlisted] == [[f"{path}: scene 'scene-0061' is in no split"]]
    assert [finding.count for finding in absent] == [8]
