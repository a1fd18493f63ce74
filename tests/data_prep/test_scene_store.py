"""A scene that is read from the store is what the whole root has of it."""

import pytest

from data_prep import qa, scene_store, tables
from data_prep.key_frames import KeyFrames
from data_prep.scene_store import SceneStore
from data_prep.scenes import Root
from dima_jax.data import features
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.fixture
def asked(tmp_path):
    return qa.read(str(tiny_root.drivelm(tmp_path / "drivelm.json")))


@pytest.fixture
def store(dataset, tmp_path, asked):
    scene_store.write(tmp_path / "scenes.sqlite", dataset, tiny_root.VERSION, asked)
    return SceneStore(tmp_path / "scenes.sqlite", dataset, tiny_root.VERSION)


def test_a_scene_alone_makes_the_same_records(dataset, store, asked, monkeypatch):
    monkeypatch.setattr("data_prep.root_check.reading.BATCH", 7)  # a scene's rows are many parts
    whole = Root(str(dataset), tiny_root.VERSION)
    for scene in whole.tables.scene:
        found, questions = store.scene(scene["token"])
        alone = whole.with_tables(found)
        assert {row["scene_token"] for row in alone.tables.sample} == {scene["token"]}
        expected, found = KeyFrames(whole, scene), KeyFrames(alone, alone.tables.get("scene", scene["token"]))
        assert set(questions) == set(asked) & {sample["token"] for sample in expected.samples}
        assert len(expected) == len(found)
        for i in range(len(expected)):
            assert features.encode(expected.record(i, asked)) == features.encode(found.record(i, questions))


def test_an_outline_and_a_store_without_a_scene_hold_no_annotation(dataset, store):
    for found in (tables.outline(dataset, tiny_root.VERSION), store.shared()):
        assert len(found.scene) == 2
        assert found.sample_annotation == found.sample_data == found.ego_pose == found.instance == []


def test_a_place_that_cannot_be_written_is_one_line(dataset, tmp_path):
    with pytest.raises(UserError, match=r"nowhere/scenes\.sqlite: unable to open database file; free the disk"):
        scene_store.write(tmp_path / "nowhere" / "scenes.sqlite", dataset, tiny_root.VERSION, {})
