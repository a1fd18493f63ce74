"""What a run's folder holds, saving and restoring, and reading the student alone: from a run, a step, a copied item."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from dima_jax import checkpoint_items, checkpoints, checksums, optimizer, weights
from dima_jax.errors import UserError
from dima_jax.sharded_model import ShardedModel
from tests.mini import mini_config


@pytest.fixture(scope="module")
def config():
    return mini_config()


@pytest.fixture(scope="module")
def parts(config):
    """(student, trainable, optimizer state) of random numbers, as a run would save them."""
    rng = np.random.default_rng(0)
    shapes = ShardedModel(config, jax.devices()[:1]).abstract
    trained, frozen = optimizer.split_frozen(shapes, config.optim.groups)
    saved = {
        path: jax.numpy.asarray(rng.normal(size=leaf.shape).astype(leaf.dtype))
        for path, leaf in (trained | weights.with_prefix(frozen, "student/")).items()
    }
    student = weights.with_prefix(saved, "student/")
    trainable = {path: value for path, value in saved.items() if path not in student}
    return student, trainable, optax.adam(1e-3).init({path: saved[path] for path in trained})


@pytest.fixture(scope="module")
def run(config, parts, tmp_path_factory):
    """A run's folder with one checkpoint, of step 5."""
    folder = tmp_path_factory.mktemp("run")
    manager = checkpoints.open_manager(str(folder), keep=1)
    student, trainable, opt_state = parts
    checkpoints.save(manager, 5, student, trainable, opt_state, position=10, config=config)
    manager.wait_until_finished()
    manager.close()
    return folder


def assert_identical(a, b):
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def test_restored_is_what_was_saved(config, parts, run):
    manager = checkpoints.open_manager(str(run), keep=1)
    meta = checkpoints.read_meta(run / "checkpoints" / "5")
    assert (meta["step"], meta["position"]) == (5, 10)
    student, trainable, opt_state = checkpoints.restore(manager, meta, *jax.tree.map(as_shape, parts))
    assert_identical(student, parts[0])
    assert_identical(trainable, parts[1])
    jax.tree.map(np.testing.assert_array_equal, opt_state, parts[2])


def as_shape(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def test_the_student_item_is_the_student_alone(config, run):
    items = {
        item: checkpoints.load_weights(run / "checkpoints" / "5" / item).keys() for item in ("student", "trainable")
    }
    assert items["student"] == {f"student/{path}" for path in checkpoints.student_shapes(config)}
    assert items["trainable"] and not any(path.startswith(("student/", "teacher/llm/")) for path in items["trainable"])


def test_a_run_a_step_and_a_copied_item_hold_the_same_student(config, parts, run, tmp_path):
    for folder in (run, run / "checkpoints" / "5"):
        saved, params, meta = checkpoints.load_student(folder)
        assert meta["step"] == 5 and meta["normalization"]["color_order"] == config.data.color_order
        assert saved.student.width == config.student.width
        assert_identical(params, parts[0])
    copy = tmp_path / "student"
    (run / "checkpoints" / "5" / "student").rename(copy)
    try:
        assert_identical(checkpoints.load_weights(copy), parts[0])
    finally:
        copy.rename(run / "checkpoints" / "5" / "student")


def test_a_converted_student_is_a_run_without_a_teacher(config, parts, tmp_path):
    checkpoints.save_student(tmp_path, parts[0], config)
    assert_identical(checkpoints.load_student(tmp_path)[1], parts[0])
    with pytest.raises(UserError, match="student alone"):
        checkpoints.load_trainable(tmp_path)


def test_another_model_is_refused_by_its_key(parts, run):
    meta = checkpoints.newest_meta(run)
    other = mini_config()
    other.student.ffn_width = 64
    with pytest.raises(UserError, match=r"student\.ffn_width was 32, is 64"):
        checkpoints.check_model(meta["config"], other, str(run))
    manager, (student, trainable, opt_state) = checkpoints.open_manager(str(run), keep=1), jax.tree.map(as_shape, parts)
    path = "student/planner/ego_query"
    wider = jax.ShapeDtypeStruct((*student[path].shape, 2), "float32", sharding=student[path].sharding)
    with pytest.raises(UserError, match=rf"5/student: {path} is float32.*its config needs float32"):
        checkpoints.restore(manager, meta, {**student, path: wider}, trainable, opt_state)
    with pytest.raises(UserError, match=rf"5/student has an unknown weight {path}.*or with other settings"):
        checkpoints.restore(manager, meta, {k: v for k, v in student.items() if k != path}, trainable, opt_state)


def test_a_step_without_checksums_is_said_and_read(parts, config, run, tmp_path, capsys):
    """What an earlier version saved."""
    shutil.copytree(run, tmp_path / "old")
    meta = tmp_path / "old" / "checkpoints" / "5" / "meta" / "metadata"
    old = {key: value for key, value in json.loads(meta.read_text()).items() if key in checkpoints.UNSUMMED}
    meta.write_text(json.dumps(old))
    assert_identical(checkpoints.load_student(tmp_path / "old")[1], parts[0])
    assert "5/student has no checksums" in capsys.readouterr().out
    meta.write_text(json.dumps(old | {"sums": {}}))  # no version wrote this
    with pytest.raises(UserError, match="5/meta is damaged"):
        checkpoints.load_student(tmp_path / "old")
    meta.write_text(json.dumps(old | {"step": 4}))
    with pytest.raises(UserError, match="5/meta is damaged: it is that of step 4"):
        checkpoints.load_student(tmp_path / "old")


def test_a_damaged_item_alone_is_refused(parts, tmp_path):
    """A backbone or a student that was copied alone has its checksums beside it."""
    checkpoints.save_weights(tmp_path / "item", parts[0])
    assert_identical(checkpoints.load_weights(tmp_path / "item"), parts[0])
    sums = tmp_path / "item" / checkpoint_items.CHECKSUMS
    content = json.loads(sums.read_text())
    path = "student/planner/ego_query"
    region = next(iter(content["sums"][path][1]))
    content["sums"][path][1][region] = "00000000"
    sums.write_text(json.dumps(checksums.seal({"sums": content["sums"]})))
    with pytest.raises(UserError, match=rf"item is damaged: the array {path} is not what was saved"):
        checkpoints.load_weights(tmp_path / "item")


def test_weights_of_another_version_are_named(config, parts, tmp_path):
    params = parts[0]
    renamed = {path.replace("bev_encoder/layers/", "bev_encoder/layers/0/"): value for path, value in params.items()}
    checkpoints.save_student(tmp_path / "renamed", renamed, config)
    with pytest.raises(UserError, match=r"unknown weight student/bev_encoder/layers/0/.*another version"):
        checkpoints.load_student(tmp_path / "renamed")
    with pytest.raises(UserError, match="here lacks weight student/planner/ego_query"):
        checkpoints.check_weights(params.keys() - {"student/planner/ego_query"}, params, "here")


def test_a_config_of_another_version_is_named(parts, tmp_path, capsys):
    older = mini_config()
    with older.student.unlocked():
        del older.student["map_decoder_layers"]
    checkpoints.save_student(tmp_path, parts[0], older)
    with pytest.raises(UserError, match=r"is float32\[1,.*its config needs float32\[6,"):
        checkpoints.load_student(tmp_path)
    assert "its config has no student.map_decoder_layers=6: taken from configs/base.py" in capsys.readouterr().out
    with older.student.unlocked():
        older.student.map_decoder_layers = "six"
    checkpoints.save_student(tmp_path, parts[0], older)
    with pytest.raises(UserError, match=r"another version of dima_jax .*map_decoder_layers is 'six'"):
        checkpoints.load_student(tmp_path)


def test_missing_checkpoint_and_wrong_folder_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.load_student(tmp_path)
    with pytest.raises(UserError, match="make demo"):
        checkpoints.latest_run(str(tmp_path))
    with pytest.raises(UserError, match="not a checkpoint item"):
        checkpoints.load_weights(tmp_path)


def test_the_latest_run_is_the_one_saved_last(parts, config, tmp_path):
    for name in ("first", "second"):
        checkpoints.save_student(tmp_path / name, {"student/a": np.zeros(1, np.float32)}, config)
    assert checkpoints.latest_run(str(tmp_path)) == Path(tmp_path) / "second"
