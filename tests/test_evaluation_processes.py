"""An evaluation is the same on any number of devices and processes, and after a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from dima_jax import evaluation
from dima_jax.data import sequences
from dima_jax.journal import Journal
from dima_jax.policy import Policy
from dima_jax.prediction_writer import Places
from dima_jax.scoring import frames_file
from dima_jax.variants import chosen
from tests.conftest import QUICK_COMPILE

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(student_run):
    return student_run.folder


def written(folder):
    """{file: what must be equal}: the bytes, where the time and the command are not in it."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    told, frames = json.loads(found["scores.json"]), frames_file.load(folder / "scores.frames.npz").header
    for header in (told["header"], frames):
        del header["command"], header["created"]
    return found | {"scores.json": told, "scores.frames.npz": frames}  # with a hash of all arrays


def evaluated(run, out, devices):
    policy, places = Policy.load(run), Places.beside(out / "scores.json")
    rows = chosen(blank_images=True, other_images=True, audit=False)
    found = evaluation.evaluate(
        policy, policy.student.config, "val", places, variants=rows, devices=jax.devices()[:devices], command=str(out)
    )
    evaluation.write(found, places)
    return written(out)


@pytest.fixture(scope="module")
def one(run, tmp_path_factory):
    return evaluated(run, tmp_path_factory.mktemp("one"), 1)


def test_two_devices_plan_as_one(student_run, run, tmp_path):
    """The files of the scenes, byte by byte."""
    policy, drives = Policy.load(run), sequences.Drives(student_run.config, "val")
    files = []
    for devices in (1, 2):
        journal = Journal(tmp_path / str(devices), {})
        evaluation.drive_split(policy, drives, journal, devices=jax.devices()[:devices])
        files.append({path.name: path.read_bytes() for path in journal.folder.iterdir()})
    assert files[0] == files[1] and len(files[0]) == student_run.scenes + 1


@pytest.mark.slow
@pytest.mark.parametrize("devices", (2, 8))
def test_several_devices_say_what_one_says(student_run, run, one, tmp_path, devices):
    assert set(one) >= {"scores.json", "scores.frames.npz", "scores.student.perception.npz"}
    assert one["scores.json"]["header"]["truth"]["scenes"] == student_run.scenes
    assert evaluated(run, tmp_path, devices) == one


def start(*arguments):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICK_COMPILE}
    command = [sys.executable, "-m", "tests.evaluation_worker", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def end(worker):
    out, _ = worker.communicate(timeout=600)
    assert worker.returncode == 0, out.decode()[-3000:]
    return out.decode()


@pytest.mark.slow
def test_two_processes_say_what_one_says(run, one, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    out = tmp_path / "two" / "scores.json"
    for worker in [start(run, out, 1, coordinator, 2, process) for process in range(2)]:
        end(worker)
    assert written(out.parent) == one


@pytest.mark.slow
def test_a_kill_changes_nothing(student_run, run, one, tmp_path):
    out = tmp_path / "killed" / "scores.json"
    journal = Places.beside(out).journal
    worker = start(run, out, 1)
    while worker.poll() is None and not list(journal.glob("*.npz")):
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in journal.glob("*.npz")}
    assert 0 < len(finished) < student_run.scenes and not out.exists()
    assert f"{len(finished)} of {student_run.scenes} scenes are in" in end(start(run, out, 1))
    assert not journal.exists() and written(out.parent) == one
