"""What goes wrong in a worker of the build is one line, and Ctrl-C leaves nothing half-written and no process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep import pipeline, shards
from dima_jax.errors import UserError
from tests import tiny_root

ROOT = Path(__file__).parents[2]
BUILD = """
import runpy, sys, time
from data_prep import shards

def on_frame(write):
    def slow(shard, root, answers, mark, counted, *scale):
        def count():
            counted()
            {body}
        write(shard, root, answers, mark, count, *scale)
    return slow

if __name__ == "__main__":
    shards.write = on_frame(shards.write)
    sys.argv = ["build", *sys.argv[1:]]
    runpy.run_module("data_prep.build", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def build(dataset, tmp_path):
    """Starts a build whose workers do something after every key frame; returns the process."""

    def started(body, workers):
        (tmp_path / "slow.py").write_text(BUILD.format(body=body))
        flags = (f"--dataroot={dataset}", f"--version={tiny_root.VERSION}", f"--out={tmp_path / 'out'}")
        command = [sys.executable, str(tmp_path / "slow.py"), *flags, f"--workers={workers}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    return started


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != "build.log")


@pytest.mark.parametrize(
    ("workers", "number", "status", "name"), [(1, signal.SIGTERM, 143, "SIGTERM"), (2, signal.SIGINT, 130, "Ctrl-C")]
)
def test_a_signal_ends_it_in_one_line(build, tmp_path, workers, number, status, name):
    process = build("print('frame', flush=True); time.sleep(0.5)", workers)
    while process.stdout.readline() not in ("frame\n", ""):
        pass
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=600)
    assert (errors, process.returncode) == (f"stopped by {name}\n", status)
    assert left(tmp_path) == []
    assert f"stopped by {name}\n" in (tmp_path / "out" / "build.log").read_text()


def test_an_error_of_the_disk_stays_what_the_command_line_explains(monkeypatch):
    error = OSError(28, "No space left on device", "out/shard.1.tmp")
    monkeypatch.setattr(pipeline, "_outcome", pipeline.Outcome())
    monkeypatch.setattr(shards, "opened", failing(error))
    pipeline.WriteShard("root", "version", "", "mark").process(SHARD)
    assert pipeline._outcome.errors == [error]


def test_a_full_disk_is_one_line(build, tmp_path):
    process = build("raise OSError(28, 'No space left on device', 'records')", 2)
    _, errors = process.communicate(timeout=600)
    expected = "error: records: No space left on device; free the disk, or give another folder\n"
    assert (errors, process.returncode) == (expected, 2)
    assert left(tmp_path) == []


SHARD = shards.Shard("out/shard", ("a",), 1)


def failing(error: Exception):
    def write(*_):
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("ours"), "ours"),
        (KeyError("token\nlost"), r"out/shard: KeyError: 'token\nlost' (test_pipeline.py:"),
        (RuntimeError("two\nlines"), "out/shard: RuntimeError: two lines (test_pipeline.py:"),
    ],
)
@pytest.mark.parametrize("where", ["opened", "write"])
def test_an_error_of_a_worker_is_one_line(monkeypatch, error, message, where):
    monkeypatch.setattr(pipeline, "_outcome", pipeline.Outcome())
    monkeypatch.setattr(shards, "opened", lambda *_: None)
    monkeypatch.setattr(shards, where, failing(error))
    write = pipeline.WriteShard("root", "version", "", "mark")
    write.process(SHARD)
    write.process(SHARD)  # does nothing after an error
    (found,) = pipeline._outcome.errors
    assert isinstance(found, UserError) and str(found).startswith(message) and len(str(found).splitlines()) == 1
