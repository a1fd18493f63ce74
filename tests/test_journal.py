"""Scenes that are driven stay; what is of another evaluation, or damaged, is never used."""

import json

import numpy as np
import pytest

from dima_jax.detections import Agents, Lines
from dima_jax.errors import UserError
from dima_jax.journal import Journal
from dima_jax.prediction_writer import Driven
from dima_jax.scene_shards import Scene
from dima_jax.scoring import perception_file

SOURCE = {"checkpoint": "abc", "step": 3, "config": "c", "data": "d", "split": "val", "rows": ["student"]}
SAMPLES = [f"sample {i}" for i in range(5)]
SCENES = [Scene("scene/1", [0, 1]), Scene("scene-2", [2, 3, 4])]


def driven(scene, seed=0):
    """Frames with 0, 1, ... agents and lines."""
    rng = np.random.default_rng(seed)
    count = len(scene.numbers)
    agents = [
        Agents(
            rng.random((i, 9), np.float32),
            rng.integers(0, 10, i),
            rng.random(i, np.float32),
            rng.random((i, 2, 6, 2), np.float32),
            rng.random((i, 2), np.float32),
            np.ones((i, 6), bool),
        )
        for i in range(count)
    ]
    lines = [
        Lines(list(rng.random((i, 20, 2), np.float32)), rng.integers(0, 3, i), rng.random(i, np.float32))
        for i in range(count)
    ]
    plans = {"student": rng.random((count, 6, 2), np.float32), "student, a/b": rng.random((count, 6, 2), np.float32)}
    found = perception_file.joined([perception_file.arrays(*one) for one in zip(agents, lines, strict=True)])
    tokens = [SAMPLES[i] for i in scene.numbers]
    return Driven(tokens, dict.fromkeys(plans, tokens), plans, found)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "scores.json.partial", SOURCE)
    journal.check()
    journal.open()
    return journal


def test_a_scene_is_read_as_it_was_written(journal):
    assert journal.finished(SCENES, SAMPLES) == []
    journal.write(SCENES[0], driven(SCENES[0]))
    again = Journal(journal.folder, SOURCE)
    again.check()
    assert again.finished(SCENES, SAMPLES) == SCENES[:1]
    journal.write(SCENES[1], driven(SCENES[1]))
    journal.wait(SCENES)
    for scene in SCENES:
        found, expected = again.read(scene), driven(scene)
        assert found.tokens == expected.tokens
        np.testing.assert_equal(found.plans, expected.plans)
        np.testing.assert_equal(found.found, expected.found)
    again.remove()
    again.wait_for_the_end()
    assert not journal.folder.exists()


@pytest.mark.parametrize("key", SOURCE)
def test_scenes_of_another_evaluation_are_refused(journal, key):
    other = Journal(journal.folder, SOURCE | {key: "other"})
    with pytest.raises(UserError, match=rf"with another {key}; delete it") as refusal:
        other.check()
    assert "\n" not in str(refusal.value)


def test_what_a_later_version_adds_is_another_evaluation(journal):
    Journal(journal.folder, SOURCE | {"more": 1}).folder.joinpath("source.json").write_text(
        json.dumps(SOURCE | {"more": 1})
    )
    with pytest.raises(UserError, match="with another more; delete it"):
        journal.check()


def test_those_who_wait_are_told_of_a_failure(journal):
    with pytest.raises(KeyError), journal.told_of_failure():
        raise KeyError("lost")
    for wait in (lambda: journal.wait(SCENES), journal.wait_for_the_end):
        with pytest.raises(UserError, match="another process of this evaluation ended"):
            wait()
    journal.open()
    journal.write(SCENES[0], driven(SCENES[0]))
    journal.wait(SCENES[:1])


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_a_damaged_source_is_refused(journal, text):
    (journal.folder / "source.json").write_text(text)
    with pytest.raises(UserError, match=r"source\.json is damaged.*; delete the folder"):
        journal.check()


def test_another_folder_is_refused_and_what_a_kill_left_is_not(tmp_path):
    journal = Journal(tmp_path / "a.partial", SOURCE)
    journal.folder.mkdir()
    (journal.folder / "source.json.7.part").write_text("{")
    journal.check()
    (journal.folder / "letter.txt").write_text("Dear")
    with pytest.raises(UserError, match="holds no scenes of an evaluation; move it away"):
        journal.check()


def test_a_damaged_scene_is_driven_again(journal, capsys):
    for scene in SCENES:
        journal.write(scene, driven(scene))
    file = next(journal.folder.glob("scene-2.npz"))
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for _ in range(30):
        broken = bytearray(whole)
        broken[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        file.write_bytes(broken[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.5 else broken)
        found = journal.finished(SCENES, SAMPLES)
        assert SCENES[0] in found
        if SCENES[1] in found:  # the damage was in what nobody reads
            np.testing.assert_equal(journal.read(SCENES[1]).plans, driven(SCENES[1]).plans)
        else:
            assert "scene-2 is driven again: " in capsys.readouterr().out
    assert not file.exists() or SCENES[1] in found  # nobody waits for what is damaged
    file.write_bytes(whole)
    assert journal.finished(SCENES, [*SAMPLES[:4], "of other records"]) == SCENES[:1]


def test_source_is_strict_json(journal):
    assert json.loads((journal.folder / "source.json").read_text()) == SOURCE
