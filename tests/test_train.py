"""The real `train` on real records: resume bit for bit, what a checkpoint holds, what is refused."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dima_jax import checkpoints, train
from dima_jax.errors import UserError
from dima_jax.train_step import Setup
from tests import tiny_root
from tests.mini import mini_config

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    config = mini_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))
    config.train.epochs = 1  # 11 windows, batches of 2: 5 steps
    return config


class StopAfter:
    """Stands for SIGTERM during step `steps`."""

    def __init__(self, steps):
        self.checks_left = 2 * steps  # the loop asks twice a step

    @property
    def requested(self):
        self.checks_left -= 1
        return self.checks_left < 2


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    """(workdir, final state, frozen LLM before and after) of a run that never stopped."""
    workdir = str(tmp_path_factory.mktemp("straight"))
    return workdir, train.train(config, workdir)


def stored(workdir, step):
    folder = Path(workdir) / "checkpoints" / str(step)
    return {item: checkpoints.load_weights(folder / item) for item in ("student", "trainable")}


def assert_identical(a, b):
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def test_resume_is_bit_identical(config, straight, tmp_path, monkeypatch):
    workdir, state = straight
    with monkeypatch.context() as patch:
        patch.setattr(train, "StopOnSignal", lambda: StopAfter(2))
        with pytest.raises(SystemExit) as stopped:
            train.train(config, str(tmp_path))
    assert stopped.value.code == 0
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()] == ["2"]
    resumed = train.train(config, str(tmp_path))
    assert int(resumed.step) == int(state.step) == 5
    assert_identical(resumed.params, state.params)
    jax.tree.map(np.testing.assert_array_equal, resumed.opt_state, state.opt_state)
    assert_identical(stored(tmp_path, 5)["trainable"], stored(workdir, 5)["trainable"])


def test_the_student_item_is_the_student_alone(config, straight):
    workdir, state = straight
    items = stored(workdir, 5)
    assert items["student"] and all(path.startswith("student/") for path in items["student"])
    expected = {path for path in Setup(config, 5).abstract if path.startswith("student/")}
    assert set(items["student"]) == expected
    assert not any(path.startswith(("student/", "teacher/llm/")) for path in items["trainable"])
    assert items["trainable"].keys() | items["student"].keys() >= state.params.keys()


def test_training_leaves_the_llm_base_as_it_was(config, straight):
    """The base is an input of the step, never an output: a second start builds the same bits."""
    setup = Setup(config, 5)
    state, frozen = setup.init()
    before = {path: np.array(value) for path, value in frozen.items()}
    batch = next(train.loader.train_batches(config, 0))
    step = setup.train_step(state)
    for _ in range(2):
        state, _ = step(state, frozen, batch, jax.random.key(0))
    assert any(path.startswith("teacher/llm/") for path in before)
    assert all(v.any() for path, v in state.params.items() if path.startswith("teacher/lora/") and path.endswith("/b"))
    assert_identical({path: np.array(value) for path, value in frozen.items()}, before)


def test_load_student_reads_a_run_a_step_and_a_copied_item(config, straight, tmp_path):
    workdir, _ = straight
    saved, params, meta = checkpoints.load_student(workdir)
    assert meta["step"] == 5 and meta["position"] == 10
    assert saved.student.width == config.student.width
    assert meta["normalization"]["color_order"] == config.data.color_order
    copy = tmp_path / "student"
    (Path(workdir) / "checkpoints" / "5" / "student").rename(copy)
    try:
        assert_identical(checkpoints.load_weights(copy), params)
    finally:
        copy.rename(Path(workdir) / "checkpoints" / "5" / "student")


def test_another_config_is_refused_by_its_key(config, straight):
    other = mini_config(config.data.path)
    other.student.ffn_width = 64
    with pytest.raises(UserError, match=r"student\.ffn_width was 32, is 64"):
        train.train(other, straight[0])


def test_weights_of_another_version_are_named(config, straight, tmp_path):
    _, params, _ = checkpoints.load_student(straight[0])
    renamed = {path.replace("bev_encoder/layers/", "bev_encoder/layers/0/"): value for path, value in params.items()}
    checkpoints.save_student(tmp_path / "renamed", renamed, config)
    with pytest.raises(UserError, match=r"unknown weight student/bev_encoder/layers/0/.*another version"):
        checkpoints.load_student(tmp_path / "renamed")
    del renamed["student/planner/ego_query"]
    with pytest.raises(UserError, match="unknown weight"):
        checkpoints.check_weights(renamed, params, "here")
    with pytest.raises(UserError, match="here lacks weight student/planner/ego_query"):
        checkpoints.check_weights(params.keys() - {"student/planner/ego_query"}, params, "here")


def test_a_start_from_elsewhere_is_checked(tmp_path):
    config = mini_config()
    config.train.backbone = str(tmp_path / "absent")
    with pytest.raises(UserError, match=r"absent.*convert resnet"):
        train.earlier_weights(config)
    shapes = checkpoints.student_shapes(config)
    weights = {f"student/{path}": np.full(leaf.shape, 0.5, leaf.dtype) for path, leaf in shapes.items()}
    checkpoints.save_student(tmp_path / "run", weights, config)
    config.train.init_from = str(tmp_path / "run")
    (found,) = train.earlier_weights(config).values()
    assert_identical(found, weights)
    config.data.color_order = "bgr"
    with pytest.raises(UserError, match=r"data\.color_order was 'rgb', is 'bgr'"):
        train.earlier_weights(config)


def test_a_non_finite_loss_names_its_term():
    log = {"loss/total": np.float32("nan"), "loss/language": np.float32("nan"), "loss/future": np.float32(1)}
    with pytest.raises(UserError, match="loss/language"):
        train.check_finite(7, log)


def test_missing_checkpoint_and_wrong_folder_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.load_student(tmp_path)
    with pytest.raises(UserError, match="make demo"):
        checkpoints.latest_run(str(tmp_path))
    with pytest.raises(UserError, match="not a checkpoint item"):
        checkpoints.load_weights(tmp_path)


def command(*arguments):
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config=configs/demo.py", "--config.optim.learning_rat=1"), ("learning_rat", "learning_rate")),
        (("--config=configs/absent.py",), ("configs/absent.py",)),
        (("--config=configs/demo.py", "--config.data.path=absent_records"), ("absent_records", "data_prep.build")),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(arguments, words, tmp_path):
    result = command("dima_jax.train", *arguments, f"--workdir={tmp_path}")
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert all(word in last for word in words), last
