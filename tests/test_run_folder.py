"""The steps of a run's folder: which there are, which is asked for, and how one is set aside."""

import pytest

from dima_jax import run_folder
from dima_jax.errors import UserError


@pytest.fixture
def run(tmp_path):
    for name in ("2", "10", "9.orbax-checkpoint-tmp", "007", "notes"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / "11").write_text("a file")
    return tmp_path


def test_steps_are_folders_with_a_number(run):
    expected = [run / "checkpoints" / name for name in ("10", "2")]
    for folder in (run, run / "checkpoints", run / "checkpoints" / "2"):
        assert run_folder.steps(folder) == expected


def test_a_step_is_the_latest_or_the_one_asked_for(run):
    assert run_folder.step_folder(run).name == "10"
    assert run_folder.step_folder(run, 2).name == "2"
    assert run_folder.step_folder(run / "checkpoints" / "2").name == "2"
    with pytest.raises(UserError, match="has no step 3; it has 2, 10"):
        run_folder.step_folder(run, 3)
    with pytest.raises(UserError, match="one step's folder"):
        run_folder.step_folder(run / "checkpoints" / "2", 10)
    with pytest.raises(UserError, match="no checkpoint"):
        run_folder.step_folder(run / "checkpoints" / "notes")


def test_a_step_set_aside_is_kept(run):
    step = run / "checkpoints" / "10"
    assert run_folder.set_aside(step) == run / "damaged" / "10"
    step.mkdir()
    assert run_folder.set_aside(step) == run / "damaged" / "10_2"
    assert [path.name for path in run_folder.steps(run)] == ["2"]
    (run / "damaged").rename(run / "other")
    (run / "damaged").write_text("")
    with pytest.raises(UserError, match="move it away by hand"):
        run_folder.set_aside(run / "checkpoints" / "2")
