"""The real loop on real records: resume bit for bit, what a run starts from, what is refused, a finished run."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from dima_jax import checkpoints, events, optimizer, sharding, train_loop
from dima_jax.errors import UserError
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import TrainState, init_train_state, make_train_step
from tests import tiny_root, tiny_trainer
from tests.mini import mini_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    config = mini_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))
    config.train.epochs = 1  # 11 windows, batches of 2: 5 steps
    return config


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Runs of one config share the jitted step: tracing it takes longer than all that is tested here."""
    steps = {}

    def make(model, optim):
        return steps.setdefault(model.config.to_json(), make_train_step(model, optim))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_loop, "make_train_step", make)
        yield make


ROOT = Path(__file__).parents[1]


class StopAfter:
    """Stands for SIGTERM during step `steps`."""

    status = 143

    def __init__(self, steps):
        self.checks_left = steps  # the loop asks once a step

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def requested(self):
        self.checks_left -= 1
        return self.checks_left <= 0


@pytest.fixture(scope="module")
def straight(config, compiled_once, tmp_path_factory):
    """(workdir, final state) of a run that never stopped."""
    workdir = str(tmp_path_factory.mktemp("straight"))
    return workdir, train_loop.train(config, workdir)


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
        patch.setattr(train_loop, "StopOnSignal", lambda: StopAfter(2))
        with pytest.raises(SystemExit) as stopped:
            train_loop.train(config, str(tmp_path))
    assert stopped.value.code == 143
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()] == ["2"]
    resumed = train_loop.train(config, str(tmp_path))
    assert int(resumed.step) == int(state.step) == 5
    assert [step for step, _ in events.read(tmp_path)["loss/total"]] == [1, 2, 3, 4, 5]
    assert_identical(resumed.params, state.params)
    jax.tree.map(np.testing.assert_array_equal, resumed.opt_state, state.opt_state)
    assert_identical(stored(tmp_path, 5)["trainable"], stored(workdir, 5)["trainable"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_process_resumes_bit_for_bit(config, straight, tmp_path, how):
    """The same by the command, in processes of their own; a kill loses the steps since the last checkpoint, no more."""
    file = tmp_path / "mini.py"
    file.write_text(f"""def get_config():
    from tests.mini import mini_config
    config = mini_config({config.data.path!r})
    config.train.epochs = 1
    return config
""")
    command = [sys.executable, "-m", "dima_jax.train", f"--config={file}", f"--workdir={tmp_path / 'run'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "checkpoints" / "2").is_dir() and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(how)
    _, errors = first.communicate(timeout=900)
    assert first.returncode == (-how if how == signal.SIGKILL else 128 + how), errors[-3000:]
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert again.returncode == 0, again.stderr[-3000:]
    for item in ("student", "trainable"):
        assert_identical(stored(tmp_path / "run", 5)[item], stored(straight[0], 5)[item])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_that_runs(tmp_path, monkeypatch, capsys, number):
    """The loop alone, on a step that computes nothing; what was logged beyond the last checkpoint is logged once."""
    config, saved = mini_config(), []
    config.train.update(epochs=1, save_every=100)

    def stand_in(state, *_):
        if state.step == 2 and not saved:
            os.kill(os.getpid(), number)
        return state.replace(step=state.step + 1), {"loss/total": np.float32(state.step)}

    start = TrainState(np.int32(0), {}, None)
    stand_ins = dict(start=lambda *_: (start, {}, {}), summary=lambda *_: "")
    stand_ins |= dict(
        make_train_step=lambda *_: stand_in, save=lambda _, state, *__, **___: saved.append(int(state.step))
    )
    for name, value in stand_ins.items():
        monkeypatch.setattr(train_loop, name, value)
    monkeypatch.setattr(train_loop, "ShardedModel", lambda config: SimpleNamespace(mesh=None, config=config))
    monkeypatch.setattr(train_loop.loader, "num_train_windows", lambda config: 10)
    monkeypatch.setattr(train_loop.loader, "train_batches", lambda *_: (None for _ in itertools.count()))
    monkeypatch.setattr(train_loop.sharding, "place_batch", lambda *_: None)
    with pytest.raises(SystemExit) as stopped:
        train_loop.train(config, str(tmp_path))
    assert stopped.value.code == 128 + number and saved == [3]
    said = capsys.readouterr()
    assert "saved step 3. The same command goes on from there" in said.out and "compiling" in said.err
    assert int(train_loop.train(config, str(tmp_path)).step) == 5  # the stand-in starts anew: all steps once more
    assert [step for step, _ in events.read(tmp_path)["loss/total"]] == [1, 2, 3, 4, 5]


def test_nobody_waits_for_the_step_that_was_just_started(tmp_path, monkeypatch):
    """The log of a step is read when the next one runs, and at the latest before its checkpoint is saved."""
    happened = []

    class Loss:
        def __init__(self, step):
            self.step = step

        def __float__(self):
            if happened[-1] != f"read {self.step}":
                happened.append(f"read {self.step}")
            return 1.0

    def make_train_step(model, optim):
        step = tiny_trainer.make_train_step(model, optim)

        def run(state, *rest):
            happened.append(f"start {int(state.step) + 1}")
            state, _ = step(state, *rest)
            return state, {"loss/total": Loss(int(state.step))}

        return run

    save = train_loop.save
    for module, name, replacement in tiny_trainer.replacements():
        monkeypatch.setattr(module, name, replacement)
    monkeypatch.setattr(train_loop, "make_train_step", make_train_step)
    monkeypatch.setattr(jax, "device_get", lambda log: log)
    monkeypatch.setattr(train_loop, "save", lambda *x, **y: (happened.append(f"save {x[1].step}"), save(*x, **y)))
    train_loop.train(tiny_trainer.config(steps=5, save_every=3), str(tmp_path))
    assert happened == [
        *("start 1", "start 2", "read 1", "start 3", "read 2", "read 3", "save 3"),
        *("start 4", "start 5", "read 4", "read 5", "save 5"),
    ]
    assert [step for step, _ in events.read(tmp_path)["loss/total"]] == [1, 2, 3, 4, 5]


def test_training_leaves_the_llm_base_as_it_was(config, compiled_once):
    """The base is an input of the step, never an output: a second start builds the same bits."""
    model, optim = ShardedModel(config), optimizer.build(config, steps_per_epoch=5)
    state, frozen = init_train_state(model, optim)
    before = {path: np.array(value) for path, value in frozen.items()}
    batch = sharding.place_batch(model.mesh, next(train_loop.loader.train_batches(config, 0)))
    step = compiled_once(model, optim)
    for _ in range(2):
        state, _ = step(state, frozen, batch, jax.random.key(config.seed))
    assert any(path.startswith("teacher/llm/") for path in before)
    assert all(v.any() for path, v in state.params.items() if path.startswith("teacher/lora/") and path.endswith("/b"))
    assert_identical({path: np.array(value) for path, value in frozen.items()}, before)


def test_another_config_is_refused_by_its_key(config, straight):
    other = mini_config(config.data.path)
    other.student.ffn_width = 64
    with pytest.raises(UserError, match=r"student\.ffn_width was 32, is 64"):
        train_loop.train(other, straight[0])


def test_a_start_from_elsewhere_is_checked(tmp_path):
    config = mini_config()
    config.train.backbone = str(tmp_path / "absent")
    with pytest.raises(UserError, match=r"absent.*convert resnet"):
        train_loop.pretrained(config)
    shapes = checkpoints.student_shapes(config)
    weights = {f"student/{path}": np.full(leaf.shape, 0.5, leaf.dtype) for path, leaf in shapes.items()}
    checkpoints.save_student(tmp_path / "run", weights, config)
    config.train.init_from = str(tmp_path / "run")
    (found,) = train_loop.pretrained(config).values()
    assert_identical(found, weights)
    config.data.color_order = "bgr"
    with pytest.raises(UserError, match=r"data\.color_order was 'rgb', is 'bgr'"):
        train_loop.pretrained(config)


def test_a_non_finite_loss_names_its_term():
    log = {"loss/total": np.float32("nan"), "loss/language": np.float32("nan"), "loss/future": np.float32(1)}
    with pytest.raises(UserError, match="loss/language"):
        train_loop.check_finite(7, log)


def test_a_finished_run_says_so_at_once(config, straight, capsys, monkeypatch):
    monkeypatch.setattr(train_loop, "ShardedModel", lambda config: pytest.fail("a finished run builds no model"))
    assert train_loop.train(config, straight[0]) is None
    assert "is finished: step 5 of 5" in capsys.readouterr().out


class ModelBuilt(Exception):
    pass


def test_a_finished_run_goes_on_when_it_gets_more_epochs(config, straight, monkeypatch):
    def build(config):
        raise ModelBuilt

    longer = config.copy_and_resolve_references()
    longer.train.epochs = 2
    monkeypatch.setattr(train_loop, "ShardedModel", build)
    with pytest.raises(ModelBuilt):
        train_loop.train(longer, straight[0])


def test_auxiliary_heads_of_the_stage_before_go_on_where_they_fit(config, tmp_path):
    config = config.copy_and_resolve_references()
    params = {"auxiliary/fits": np.zeros(2), "auxiliary/other_shape": np.zeros(4), "student/weight": np.zeros(3)}
    assert train_loop.earlier_heads(config, params) == {}
    config.train.init_from = str(tmp_path / "run")
    checkpoints.save_student(tmp_path / "run", {"student/weight": np.ones(3)}, config)
    assert train_loop.earlier_heads(config, params) == {}  # a student alone
    saved = {"auxiliary/fits": np.ones(2), "auxiliary/other_shape": np.ones(3), "auxiliary/gone": np.ones(1)}
    checkpoints.save_weights(tmp_path / "run" / "checkpoints" / "0" / "trainable", saved)
    found = train_loop.earlier_heads(config, params)
    assert list(found) == ["auxiliary/fits"]
    np.testing.assert_array_equal(found["auxiliary/fits"], np.ones(2))
