"""Batches: their shapes, their order, and that one integer brings back exactly the next window."""

import contextlib
import itertools
import json
import shutil
import threading
import time

import jax
import numpy as np
import pytest

from dima_jax.data import augment, facts, loader, sequences
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.data.records import Records, shard_name, walk
from dima_jax.errors import UserError
from dima_jax.scene_shards import scenes_of
from dima_jax.scoring import token_lists
from dima_jax.teacher_cache import Taught, TeacherCache


def take(config, position, count):
    return list(itertools.islice(loader.train_batches(config, position), count))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_batch_agrees_with_spec(config):
    (batch,) = take(config, 0, 1)
    want = loader.spec(config)
    jax.tree.map(lambda w, g: np.testing.assert_equal((g.shape, g.dtype), (w.shape, w.dtype)), want, batch)


def test_resume_gives_exactly_the_next_windows(config):
    config.teacher.enabled = False
    config.data.update(photometric=True, flip=0.5, zoom=(0.8, 1.2), color=0.5)
    straight = take(config, 0, 5)
    for ours, theirs in zip(straight[3:], take(config, 3 * config.data.batch_size, 2), strict=True):
        same(ours, theirs)


def test_resume_within_scenes_that_are_read_together(config):
    config.data.update(shuffle_scenes=1, photometric=True)
    straight = take(config, 0, 5)
    for ours, theirs in zip(straight[3:], take(config, 3 * config.data.batch_size, 2), strict=True):
        same(ours, theirs)
    config.data.shuffle_scenes = 0
    assert [one.index.tolist() for one in straight] != [one.index.tolist() for one in take(config, 0, 5)]


@pytest.mark.parametrize("photometric", [True, False])
def test_distortion_is_that_of_the_window(config, photometric):
    config.data.photometric = photometric
    order = loader.TrainWindows(config)
    found = [order.sample(position).distortion for position in (0, 0, 1)]
    if not photometric:
        assert found == [None] * 3
        return
    same(found[0], found[1])
    assert (found[0].amounts != found[2].amounts).any()
    assert found[0].mask[: config.data.history + 1].all() and not found[0].mask[config.data.history + 1 :].any()


def test_so_many_batches_are_read_ahead_as_fit(config, monkeypatch):
    places = []
    sample = loader.TrainWindows.sample
    monkeypatch.setattr(
        loader.TrainWindows, "sample", lambda self, i, images=None: places.append(i) or sample(self, i, images)
    )
    size = np.prod(loader.spec(config).images.shape)
    for batches, config.data.prefetch_gib in ((1, 0.0), (3, float(3.5 * size / 2**30)), (4, 1.0)):
        config.data.workers = 2
        places.clear()
        with contextlib.closing(loader.train_batches(config)) as reader:
            next(reader)
            deadline = time.monotonic() + 20
            while len(places) < (1 + batches) * config.data.batch_size and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            assert sorted(places) == list(range((1 + batches) * config.data.batch_size))


def test_a_closed_reader_leaves_no_thread(config):
    reader = loader.train_batches(config)
    next(reader)
    reader.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_order_does_not_depend_on_batch_size_or_threads(config):
    first = np.concatenate([batch.index for batch in take(config, 0, 6)])
    config.data.update(batch_size=6, workers=1)
    np.testing.assert_array_equal(first, np.concatenate([batch.index for batch in take(config, 0, 4)]))


def test_every_epoch_is_another_permutation(config):
    windows = loader.num_train_windows(config)
    config.data.batch_size = windows
    first, second = (batch.index.tolist() for batch in take(config, 0, 2))
    assert sorted(first) == sorted(second) == list(range(windows)) and first != second
    config.seed += 1
    assert take(config, 0, 1)[0].index.tolist() != first


def test_window_is_relative_to_its_current_frame(config):
    for batch in take(config, 0, 4):
        now = config.data.history
        np.testing.assert_allclose(batch.frame_to_current[:, now], np.tile(np.eye(4), (4, 1, 1)), atol=1e-6)
        step = batch.frame_to_current[:, now + 1, :2, 3]  # where the LiDAR is at the next key frame
        known = batch.frame_mask[:, now + 1]
        np.testing.assert_allclose(step[known], batch.ego.future_offsets[:, 0][known], atol=1e-4)
        assert not batch.images[:, now + 1 :][~batch.frame_mask[:, now + 1 :]].any()
        assert not batch.can_bus[:, 0, [0, 1, 2, 17]].any()


def test_a_window_brings_what_the_cached_teacher_said_of_its_frame(config, tmp_path):
    records, student = Records(config.data.path, "train"), config.student
    cache = TeacherCache(tmp_path / "taught")
    cache.open({"data": records.data_hash, "split": "train"})
    number = np.arange(len(records), dtype=np.float32)
    shapes = ((2 * student.width,), (student.num_commands, student.num_future, 2))
    for scene in scenes_of(records):
        mine = number[scene.numbers]
        said = [np.broadcast_to(mine.reshape(-1, *[1] * len(shape)), (len(mine), *shape)) for shape in shapes]
        cache.write(scene, records.samples, Taught(*said))
    config.distill.cache, config.teacher.enabled = str(cache.folder), False
    (batch,) = take(config, 3, 1)
    want = loader.spec(config).taught
    for got, spec in zip(jax.tree.leaves(batch.taught), jax.tree.leaves(want), strict=True):
        assert (got.shape, got.dtype) == (spec.shape, spec.dtype)
        np.testing.assert_array_equal(
            got.reshape(len(got), -1).T, np.broadcast_to(batch.index, (got[0].size, len(got)))
        )


def test_facts_of_the_answers_are_in_the_batch(config):
    config.auxiliary.facts = True
    (batch,) = take(config, 0, 1)
    want = loader.spec(config)
    jax.tree.map(lambda w, g: np.testing.assert_equal((g.shape, g.dtype), (w.shape, w.dtype)), want, batch)
    records, chosen = Records(config.data.path, "train"), facts.of_training(config)
    for i, number in enumerate(batch.index):
        said = facts.said(records.decode(int(number)), ByteTokenizer(), config.data.max_text)
        np.testing.assert_array_equal(batch.facts.holds[i], facts.targets(chosen, said).holds)
    assert batch.facts.holds.any() and (batch.facts.known | ~batch.facts.holds).all()
    config.auxiliary.facts = False
    same(batch.replace(facts=None), take(config, 0, 1)[0])


def test_a_held_out_path_is_unknown_and_all_else_stays(config, tmp_path):
    (known,) = take(config, 0, 1)
    out = int(known.index[1])
    tokens = {"some": [Records(config.data.path, "train").samples[out]]}
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"format": token_lists.FORMAT, "version": token_lists.VERSION, "tokens": tokens}))
    config.data.hold_out_paths = (f"{path}:some",)
    (held,) = take(config, 0, 1)
    is_out = held.index == out
    assert known.ego.future_mask[is_out].any() and not held.ego.future_mask[is_out].any()
    assert not held.ego.future_offsets[is_out].any()
    np.testing.assert_array_equal(held.ego.future_mask[~is_out], known.ego.future_mask[~is_out])
    same(held.replace(ego=known.ego), known)
    np.testing.assert_array_equal(held.ego.history_offsets, known.ego.history_offsets)
    config.data.val_split = "train"
    frames = list(sequences.iterate_scenes(config, "train"))
    np.testing.assert_array_equal(frames[out].ego.future_mask[0], known.ego.future_mask[1])


def test_vector_mode_decodes_no_image(config, monkeypatch):
    monkeypatch.setattr("dima_jax.data.transforms.decode", None)
    config.vector.enabled, config.teacher.enabled, config.data.cameras = True, False, ()
    (batch,) = take(config, 0, 1)
    jax.tree.map(
        lambda w, g: np.testing.assert_equal((g.shape, g.dtype), (w.shape, w.dtype)), loader.spec(config), batch
    )
    assert batch.images.shape[2] == 0 and batch.agents.mask.any()
    assert loader.example(config).images.size == 0


def test_history_from_a_random_start_is_the_frame_before_or_none(config):
    config.data.random_start = True
    order = loader.TrainWindows(config)
    for sample in map(order.sample, range(8)):
        way = -sample.ego.history_offsets[1] if sample.frame_mask[0] else (0, 0)
        np.testing.assert_allclose(sample.frame_to_current[0, :2, 3], way, atol=1e-4)


def test_controls_hide_status_and_command(config):
    config.data.update(ego_status="none", command=False)
    (batch,) = take(config, 0, 1)
    assert not batch.can_bus.any()
    assert (batch.command == (0, 0, 1)).all()


@pytest.mark.parametrize("value", [True, False, "all"])
def test_unknown_ego_status_names_the_words(config, value):
    with config.ignore_type():
        config.data.ego_status = value
    with pytest.raises(UserError, match=r'data.ego_status=.*: must be "full" or "speed" or "none"'):
        loader.TrainWindows(config).sample(0)


def test_augmentation_reaches_the_batch(config):
    config.teacher.enabled = False
    plain = loader.TrainWindows(config).sample(3)
    config.data.flip = 1.0
    same(
        loader.TrainWindows(config).sample(3),
        augment.flip(plain, config.data.cameras, config.data.valid_shape, config.student.pc_range),
    )
    config.data.zoom = (0.0, 1.0)
    with pytest.raises(UserError, match="zoom"):
        loader.train_batches(config)


def test_cut_targets_are_counted(config, monkeypatch):
    warned = []
    monkeypatch.setattr(loader.logging, "warning", lambda text, *values: warned.append(text % values))
    config.data.max_agents = 1
    order = loader.TrainWindows(config)
    for position in range(8):
        order.sample(position)
    assert order.cut["max_agents"] > 0
    (line,) = [line for line in warned if "max_agents" in line]  # once, not for every window
    assert "max_agents=1 cuts" in line


def test_drivelm_question_reaches_its_frame(config):
    samples = Records(config.data.path, "train").samples
    order = loader.TrainWindows(config)
    texts = {
        samples[int(sample.index)]: ByteTokenizer().decode(sample.text.tokens)
        for sample in (order.sample(position) for position in range(len(samples)))
    }
    assert "<c1,CAM_FRONT,812.0,500.5>" in texts["smp_0010"] or "Keep going" in texts["smp_0010"]
    assert "<c1" not in texts["smp_0012"]


def test_damaged_data_reaches_the_user(config, tmp_path):
    config.data.path = str(tmp_path)
    with pytest.raises(UserError, match="no records"):
        loader.train_batches(config)
    with pytest.raises(UserError, match="no records"):
        loader.num_train_windows(config)


def test_corrupt_record_stops_training_with_its_name(config, tmp_path):
    folder = shutil.copytree(config.data.path, tmp_path / "records")
    path = folder / shard_name("train", 0, 1)
    data = bytearray(path.read_bytes())
    data[walk(path)[2].offset + 500] ^= 1
    path.write_bytes(data)
    config.data.path = str(folder)
    with pytest.raises(UserError, match="corrupt record of scene-0061, sample smp_0010"):
        take(config, 0, loader.num_train_windows(config))


def test_drive_is_in_order_with_sequential_can_bus(config):
    frames = list(sequences.iterate_scenes(config, "val"))
    assert [frame.frame_index for frame in frames] == list(range(11))
    assert [frame.is_first for frame in frames] == [True] + [False] * 10
    assert [frame.future_valid for frame in frames] == [True] * 5 + [False] * 6
    assert not frames[0].frame.can_bus[0, [0, 1, 2, 17]].any()
    for before, after in itertools.pairwise(frames):
        path = after.lidar2global[:2, 3] - before.lidar2global[:2, 3]
        np.testing.assert_allclose(np.linalg.norm(path), np.linalg.norm(before.ego.future_offsets[0, 0]), atol=1e-2)
        np.testing.assert_allclose(np.linalg.norm(after.frame.can_bus[0, :2]), np.linalg.norm(path), atol=0.2)
    assert frames[0].frame.images.shape == (1, 6, 64, 96, 3)
    assert frames[0].jpegs[0][:2] == b"\xff\xd8"
    np.testing.assert_allclose(frames[0].camera_matrices, frames[0].frame.lidar2img[0], rtol=1e-5)  # image_scale is 1


def test_drive_targets_are_never_cut(config):
    config.data.update(max_agents=1, max_map=1)
    assert max(frame.agents.mask.sum() for frame in sequences.iterate_scenes(config, "val")) > 1
