"""Going on with a run whose newest step is damaged, whose config has changed, whose disk is full, that others write."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dima_jax import checkpoints, run_folder, train_loop
from dima_jax.errors import UserError
from tests import tiny_trainer
from tests.lock_holder import held_elsewhere

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    for replacement in tiny_trainer.replacements():
        monkeypatch.setattr(*replacement)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """(folder, final state) of a run of five steps, the last two of which are kept."""
    with pytest.MonkeyPatch.context() as patch:
        for replacement in tiny_trainer.replacements():
            patch.setattr(*replacement)
        folder = tmp_path_factory.mktemp("straight")
        return folder, train_loop.train(tiny_trainer.config(), str(folder))


@pytest.fixture
def run(straight, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(straight[0], tmp_path / "run"))


def assert_same(state, expected):
    assert int(state.step) == int(expected.step)
    for ours, theirs in ((state.params, expected.params), (state.opt_state, expected.opt_state)):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def flip(step: Path, item: str = "student") -> None:
    """Inverts a byte in the largest file of values."""
    file = max((path for path in (step / item).rglob("d/*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def cut(step: Path, item: str = "trainable") -> None:
    """Takes half of every file of values."""
    for file in (step / item).rglob("d/*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty_meta(step: Path) -> None:
    shutil.rmtree(step / "meta")
    (step / "meta").mkdir()


DAMAGES = {
    "weights": flip,
    "optimizer": lambda step: flip(step, "opt_state"),
    "cut": cut,
    "meta": empty_meta,
    "gone": lambda step: shutil.rmtree(step / "trainable"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_the_step_before_a_damaged_one_is_used(straight, run, capsys, how):
    DAMAGES[how](run / "checkpoints" / "5")
    again = train_loop.train(tiny_trainer.config(), str(run))
    if how in ("optimizer", "cut", "gone"):  # a finished run's student is whole: nothing more is needed of it
        assert again is None
        again = train_loop.train(tiny_trainer.config(steps=6), str(run))
        assert int(again.step) == 6
    else:
        assert_same(again, straight[1])
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if "is damaged" in line)
    assert f"{run}/checkpoints/5" in line and line.endswith(f"moved to {run}/damaged/5")
    assert "resuming from step 4" in said
    assert (run / "damaged" / "5").is_dir()
    checkpoints.load_student(run)


def test_a_half_copied_step_is_passed_over(straight, run):
    (run / "checkpoints" / "99999" / "meta").mkdir(parents=True)
    state = train_loop.train(tiny_trainer.config(steps=6), str(run))
    assert int(state.step) == 6
    assert [path.name for path in run_folder.steps(run)] == ["6", "5"]


def test_without_a_whole_step_nothing_is_started_afresh(run):
    for step in run_folder.steps(run):
        cut(step)
    with pytest.raises(UserError, match=r"checkpoints/5/trainable is damaged: .*no step of this run is whole") as error:
        train_loop.train(tiny_trainer.config(steps=6), str(run))
    assert "\n" not in str(error.value)
    assert [path.name for path in run_folder.steps(run)] == ["5", "4"]


def test_reading_offers_the_step_that_is_whole(run):
    flip(run / "checkpoints" / "5")
    with pytest.raises(UserError, match=r"checkpoints/5/student is damaged: .*; step 4 is whole: give --step=4"):
        checkpoints.load_student(run)
    assert checkpoints.load_student(run, 4)[2]["step"] == 4
    flip(run / "checkpoints" / "4")
    with pytest.raises(UserError, match="no other step of this run is whole"):
        checkpoints.load_student(run)


def test_a_changed_config_is_told_and_kept(run, capsys):
    config = tiny_trainer.config(steps=6)
    config.optim.learning_rate = 1.0
    train_loop.train(config, str(run))
    assert "changed since step 5: optim.learning_rate was 0.001, is 1.0\n" in capsys.readouterr().out
    meta = checkpoints.newest_meta(run)
    changed = {"optim.learning_rate": [0.001, 1.0], "train.epochs": [1, 2], "train.max_steps": [5, 6]}
    assert meta["history"] == [{"step": 5, "changed": changed}] and meta["windows"] == tiny_trainer.WINDOWS
    config.train.update(epochs=3, max_steps=11)
    train_loop.train(config, str(run))
    assert [entry["step"] for entry in checkpoints.newest_meta(run)["history"]] == [5, 6]


def test_a_config_that_moves_the_place_in_the_data_needs_permission(run, monkeypatch):
    monkeypatch.setattr(train_loop, "ShardedModel", lambda config: pytest.fail("refused before a model is built"))
    config = tiny_trainer.config(steps=6)
    config.data.batch_size = 1
    with pytest.raises(UserError, match=r"data\.batch_size was 2, is 1; .*--allow_config_change"):
        train_loop.train(config, str(run))
    monkeypatch.setattr(train_loop.loader, "num_train_windows", lambda config: 12)
    with pytest.raises(UserError, match=r"was trained on 11 windows, .* has 12"):
        train_loop.train(tiny_trainer.config(steps=6), str(run))
    monkeypatch.setattr(train_loop, "ShardedModel", tiny_trainer.Model)
    state = train_loop.train(config, str(run), allow_config_change=True)
    assert int(state.step) == 6 and checkpoints.newest_meta(run)["position"] == 11


def test_weights_that_the_model_does_not_have_are_refused_even_so(run, monkeypatch):
    monkeypatch.setitem(tiny_trainer.SHAPES, "student/c", (5, 4, 4))
    with pytest.raises(UserError, match=r"student/c is float32\[5,4,3\], its config needs float32\[5,4,4\]"):
        train_loop.train(tiny_trainer.config(steps=6), str(run), allow_config_change=True)


def test_a_finished_run_says_so_without_records(run, monkeypatch, capsys):
    monkeypatch.setattr(train_loop.loader, "num_train_windows", lambda config: pytest.fail("records are read"))
    assert train_loop.train(tiny_trainer.config(), str(run)) is None
    assert "is finished: step 5 of 5" in capsys.readouterr().out


@pytest.mark.parametrize("size", [1500, 3000, 5000, 7000, 7900])
def test_a_full_disk_is_one_line_and_loses_nothing(straight, tmp_path, capfd, monkeypatch, size):
    """Files of more than `size` bytes cannot be written from step 3 on: the places differ at which saving fails."""
    run, limits = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    real = train_loop.save

    def save(manager, state, *rest, **more):
        if int(state.step) == 3:
            manager.wait_until_finished()
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        real(manager, state, *rest, **more)

    monkeypatch.setattr(train_loop, "save", save)
    try:
        with pytest.raises(
            UserError, match=r"run/checkpoints cannot be written: .* MB are needed, .* are free"
        ) as error:
            train_loop.train(tiny_trainer.config(), str(run))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert [path.name for path in (run / "checkpoints").iterdir() if not path.name.isdigit()] == []
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert {path.name for path in run_folder.steps(run)} == {"1", "2"}
    monkeypatch.setattr(train_loop, "save", real)
    assert_same(train_loop.train(tiny_trainer.config(), str(run)), straight[1])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give a folder that can be written"):
        train_loop.train(tiny_trainer.config(), str(tmp_path / "file" / "run"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("")
    with pytest.raises(UserError, match="run/checkpoints cannot be written"):
        train_loop.train(tiny_trainer.config(), str(tmp_path / "run"))


def test_two_trainers_do_not_share_a_folder(run):
    with held_elsewhere(run / "train.lock") as first:
        with pytest.raises(UserError, match=f"run is in use by process {first.pid} on"):
            train_loop.train(tiny_trainer.config(), str(run))
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert train_loop.train(tiny_trainer.config(), str(run)) is None
    assert not (run / "train.lock").exists()


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.tiny_trainer", str(tmp_path), "20"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    worker = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert worker.returncode == 0, worker.stdout[-2000:] + worker.stderr[-3000:]
    print(worker.stdout)
    assert worker.stdout.count("killed beside") == 20
    folders = [run_folder.step_folder(tmp_path / name) for name in ("straight", "killed")]
    assert {folder.name for folder in folders} == {"60"}
    for folder in folders:
        checkpoints.load_student(folder)
        checkpoints.load_trainable(folder)
    metas = [checkpoints.read_meta(folder) for folder in folders]
    assert metas[0]["sums"] == metas[1]["sums"]  # of every array, the optimizer's state as well
    assert metas[0]["position"] == metas[1]["position"]
