"""What a teacher said stays; what is of other records or another teacher, or damaged, is never used."""

from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scene_shards import Scene
from dima_jax.teacher_cache import Taught, TeacherCache

SOURCE = {"checkpoint": "abc", "config": "c", "data": "d", "split": "train"}
STUDENT = {"width": 4, "num_commands": 3, "num_future": 6}
SAMPLES = [f"sample {i}" for i in range(5)]
SCENES = [Scene("scene/1", [0, 1]), Scene("scene-2", [2, 3, 4])]


class Records(SimpleNamespace):
    def __len__(self):
        return len(self.samples)


RECORDS = Records(
    data_hash="d", split="train", folder="records", samples=SAMPLES, scenes=["scene/1"] * 2 + ["scene-2"] * 3
)


def said(scene, seed=0):
    rng = np.random.default_rng(seed)
    n = len(scene.numbers)
    return Taught(rng.random((n, 8), np.float32), rng.random((n, 3, 6, 2), np.float32))


@pytest.fixture
def cache(tmp_path):
    cache = TeacherCache(tmp_path / "taught")
    cache.open(SOURCE)
    return cache


def test_is_read_in_the_order_of_the_records(cache):
    assert cache.left(SCENES, SAMPLES) == SCENES
    for scene in SCENES[::-1]:
        cache.write(scene, SAMPLES, said(scene, seed=len(scene.numbers)))
    again = TeacherCache(cache.folder)
    again.open(SOURCE)
    assert again.left(SCENES, SAMPLES) == []
    for got, *parts in zip(again.load(RECORDS, STUDENT), said(SCENES[0], 2), said(SCENES[1], 3), strict=True):
        np.testing.assert_array_equal(got, np.concatenate(parts))


def test_another_source_is_refused(cache):
    with pytest.raises(UserError, match="another checkpoint, split; give another --out"):
        TeacherCache(cache.folder).open(SOURCE | {"checkpoint": "x", "split": "val"})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="no teacher's cache, and not empty"):
        TeacherCache(tmp_path).open(SOURCE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_damaged_scene_is_written_again_and_never_read(cache, capsys):
    for scene in SCENES:
        cache.write(scene, SAMPLES, said(scene))
    place = next(cache.folder.glob("*2.npz"))
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    assert cache.left(SCENES, SAMPLES) == SCENES[1:]
    assert "scene-2 is written again" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"scene-2\.npz"):
        cache.load(RECORDS, STUDENT)


def test_a_missing_scene_is_named(cache):
    cache.write(SCENES[0], SAMPLES, said(SCENES[0]))
    with pytest.raises(UserError, match="lacks 1 of 2 scenes, scene-2 among them"):
        cache.load(RECORDS, STUDENT)


@pytest.mark.parametrize("change", [{"data_hash": "x"}, {"split": "val"}])
def test_other_records_are_refused(cache, change):
    for scene in SCENES:
        cache.write(scene, SAMPLES, said(scene))
    other = Records(**(vars(RECORDS) | change))
    with pytest.raises(UserError, match="of other records"):
        cache.load(other, STUDENT)


@pytest.mark.parametrize("change", [{"width": 8}, {"num_commands": 4}, {"num_future": 5}])
def test_another_student_is_refused(cache, change):
    for scene in SCENES:
        cache.write(scene, SAMPLES, said(scene))
    with pytest.raises(UserError, match="wide, this student's is"):
        cache.load(RECORDS, STUDENT | change)


def test_frames_of_another_order_are_refused(cache):
    cache.write(SCENES[1], SAMPLES, said(SCENES[1]))
    with pytest.raises(UserError, match="not of the key frames of this split"):
        cache.read(SCENES[1], SAMPLES[::-1])


def test_numbers_that_are_not_finite_are_refused(cache):
    bad = said(SCENES[0])
    bad.ego_feature[0, 0] = np.nan
    cache.write(SCENES[0], SAMPLES, bad)
    with pytest.raises(UserError, match="not finite"):
        cache.read(SCENES[0], SAMPLES)


@pytest.mark.parametrize("has_plan", [True, False])
def test_plans_are_there_as_the_source_says(tmp_path, has_plan):
    cache = TeacherCache(tmp_path)
    cache.open(SOURCE | {"plan": has_plan})
    for number, scene in enumerate(SCENES):
        one = said(scene)
        cache.write(scene, SAMPLES, one if number == 0 else Taught(one.ego_feature, None))
    with pytest.raises(UserError, match=r"does not hold the plans that its source\.json says"):
        cache.load(RECORDS, STUDENT)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_source_is_one_line(cache, content):
    (cache.folder / "source.json").write_text(content)
    with pytest.raises(UserError, match=r"source\.json is damaged"):
        cache.open(SOURCE)


def test_no_cache_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cache_teacher"):
        TeacherCache(tmp_path / "absent").load(RECORDS, STUDENT)
