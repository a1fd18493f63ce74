"""What goes wrong in a worker of the build is one line, and Ctrl-C leaves nothing half-written and no process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep import builder, pipeline, shards
from dima_jax.errors import UserError
from tests import tiny_root

ROOT = Path(__file__).parents[2]
EVERY_PROCESS = """
import time
from data_prep import shards

def on_frame(write):
    def slow(shard, opened, mark, counted, *scale):
        def count():
            counted()
            {body}
        write(shard, opened, mark, count, *scale)
    return slow

shards.write = on_frame(shards.write)
"""


@pytest.fixture
def build(dataset, tmp_path):
    """Starts a build whose workers do something after every key frame; returns the process."""

    def started(body, workers):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(EVERY_PROCESS.format(body=body))
        flags = (f"--dataroot={dataset}", f"--version={tiny_root.VERSION}", f"--out={tmp_path / 'out'}")
        command = [sys.executable, "-m", "data_prep.build", *flags, f"--workers={workers}"]
        places = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"
        environment = {**os.environ, "PYTHONPATH": places, "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    return started


def said(process):
    """(what it printed on stderr beside its progress, its exit status)."""
    lines = process.communicate(timeout=600)[1].splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("records: ")), process.returncode


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
    assert said(process) == (f"stopped by {name}\n", status)
    assert left(tmp_path) == []
    assert f"stopped by {name}\n" in (tmp_path / "out" / "build.log").read_text()


def test_a_full_disk_is_one_line(build, tmp_path):
    process = build("raise OSError(28, 'No space left on device', 'records')", 2)
    assert said(process) == ("error: records: No space left on device; free the disk, or give another folder\n", 2)
    assert left(tmp_path) == []


def test_kill_9_ends_the_workers_and_the_next_build_cleans_up(build, dataset, tmp_path):
    process = build("print('frame', flush=True); time.sleep(0.5)", 2)
    while process.stdout.readline() not in ("frame\n", ""):
        pass
    process.kill()
    process.wait()
    (frames,) = (tmp_path / "out").glob("build.*.tmp/frames")
    time.sleep(0.5)
    written = frames.stat().st_size
    time.sleep(2.0)
    assert frames.stat().st_size == written < 22
    builder.build(str(dataset), tiny_root.VERSION, "", str(tmp_path / "out"), workers=1)
    assert [name for name in left(tmp_path) if name.endswith((".tmp", ".lock"))] == []


@pytest.fixture
def work(tmp_path):
    return pipeline.Build(str(tmp_path), "root", "version", "mark", 1.0)


SHARD = shards.Shard("out/shard", ("a",), 1)


def failing(error: Exception):
    def write(*_):
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("ours"), "ours"),
        (
            OSError(28, "No space left on device", "out/shard.1.tmp"),
            "[Errno 28] No space left on device: 'out/shard.1.tmp'",
        ),
        (KeyError("token\nlost"), r"out/shard: KeyError: 'token\nlost' (test_pipeline.py:"),
        (RuntimeError("two\nlines"), "out/shard: RuntimeError: two lines (test_pipeline.py:"),
    ],
)
@pytest.mark.parametrize("where", [(pipeline, "opener"), (shards, "write")])
def test_an_error_of_a_worker_is_one_line(monkeypatch, work, where, error, message):
    monkeypatch.setattr(pipeline, "opener", lambda _: None)
    monkeypatch.setattr(*where, failing(error))
    pipeline.write_shard(work, SHARD)
    found = pipeline._error(work)
    assert type(found) is (OSError if isinstance(error, OSError) else UserError)
    assert str(found).startswith(message) and len(str(found).splitlines()) == 1
    monkeypatch.setattr(*where, failing(UserError("later")))
    pipeline.write_shard(work, SHARD)  # does nothing after an error
    assert str(pipeline._error(work)) == str(found)


def test_an_error_that_cannot_be_left_is_raised(monkeypatch, work, tmp_path):
    monkeypatch.setattr(pipeline, "opener", failing(UserError("ours")))
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="ours"):
        pipeline.write_shard(work._replace(folder=str(tmp_path / "out")), SHARD)


def test_others_stop_at_the_next_key_frame(monkeypatch, work):
    def write(shard, opened, mark, on_frame, scale):
        on_frame()
        work.error.write_text("{}")
        on_frame()
        pytest.fail("goes on")

    monkeypatch.setattr(pipeline, "opener", lambda _: None)
    monkeypatch.setattr(shards, "write", write)
    pipeline.write_shard(work, SHARD)
    assert work.frames.read_bytes() == b".."


def test_any_runner_of_beam_writes_the_same_bytes_and_tells_errors(copy, tmp_path):
    arguments = (str(copy), tiny_root.VERSION, "")
    options = dict(
        workers=1, runner="DirectRunner", options=["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    )
    builder.build(*arguments, str(tmp_path / "one"), workers=1)
    builder.build(*arguments, str(tmp_path / "beam"), **options)
    one, beam = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())} for name in ("one", "beam")
    )
    assert one == beam
    next((copy / "samples" / "CAM_BACK").iterdir()).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"not a JPEG file .*copy the image again"):
        builder.build(*arguments, str(tmp_path / "bad"), **options)
    assert [path.name for path in (tmp_path / "bad").iterdir() if path.name.startswith("build.")] == []


def test_a_runner_that_is_not_there_is_one_line(copy, tmp_path):
    with pytest.raises(UserError, match=r"^Beam's --runner=NoRunner: ") as raised:
        builder.build(str(copy), tiny_root.VERSION, "", str(tmp_path / "out"), workers=1, runner="NoRunner")
    assert len(str(raised.value).splitlines()) == 1
