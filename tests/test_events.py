"""TensorBoard's numbers of a run that was killed between two checkpoints."""

from dima_jax import events


def log(workdir, resumed_from, steps, value):
    with events.open_writer(workdir, resumed_from) as writer:
        for step in steps:
            writer.add_scalar("loss/total", value, step)
            writer.add_scalar("loss/map", -value, step)


def test_every_step_is_there_once_whatever_was_killed(tmp_path, monkeypatch):
    """Killed at step 7 after a checkpoint at 4, again at 5 with the last event cut off, then finished."""
    clock = iter(range(1_000_000_000, 2_000_000_000, 1000))
    monkeypatch.setattr("tensorboardX.event_file_writer.time.time", lambda: float(next(clock)))  # names the files
    log(tmp_path, 0, range(1, 8), 1.0)
    log(tmp_path, 4, range(5, 6), 2.0)
    file = max((tmp_path / "events").iterdir())
    file.write_bytes(file.read_bytes()[:-10])
    log(tmp_path, 4, range(5, 11), 3.0)
    assert len([*(tmp_path / "events").iterdir()]) == 3
    expected = [(step, 1.0 if step <= 4 else 3.0) for step in range(1, 11)]
    assert events.read(tmp_path) == {"loss/total": expected, "loss/map": [(step, -value) for step, value in expected]}


def test_a_run_that_starts_anew_hides_what_was_logged_before(tmp_path, monkeypatch):
    clock = iter(range(1_000_000_000, 2_000_000_000, 1000))
    monkeypatch.setattr("tensorboardX.event_file_writer.time.time", lambda: float(next(clock)))
    log(tmp_path, 0, range(1, 4), 1.0)
    log(tmp_path, 0, range(1, 3), 2.0)
    assert events.read(tmp_path)["loss/total"] == [(1, 2.0), (2, 2.0)]
