"""Two processes with two devices each train as one process with four devices, and as one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import QUICK_COMPILE

ROOT = Path(__file__).parents[1]


def start(devices, *arguments):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": QUICK_COMPILE,
    }
    command = [sys.executable, "-m", "tests.process_worker", str(devices), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def losses(worker):
    out, errors = worker.communicate(timeout=1200)
    assert worker.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_device():
    return losses(start(1, 1))


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-3, abs=1e-4), name


def test_four_devices_train_as_one(one_device):
    assert_same(losses(start(4, 1)), one_device)


def test_pairs_of_devices_that_share_windows_train_as_one(one_device):
    assert_same(losses(start(4, 2)), one_device)


def test_two_processes_train_as_one(one_device):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    workers = [start(2, 1, coordinator, 2, process) for process in range(2)]
    first, second = map(losses, workers)
    assert first == second
    assert_same(first, one_device)
