"""Work shared among processes (`dima_jax.processes`): all of it is done, imports cost once, a process that is killed is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dima_jax import processes
from dima_jax.errors import UserError

ROOT = Path(__file__).parents[1]
LOADED_BY = os.getpid()  # the process that ran the lines of this module; one that is forked keeps its number


def square(number):
    return number * number


def where(_):
    time.sleep(0.5)  # so that both processes get a job
    return os.getpid(), os.getppid(), sys.modules[__name__].LOADED_BY


def end_itself(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done(workers):
    assert sorted(processes.as_they_end(square, range(5), workers, "out")) == [0, 1, 4, 9, 16]


def test_processes_are_forked_from_one_that_has_imported_their_module():
    code = (
        "from dima_jax import processes\n"
        "from tests import test_process_pool as module\n"
        "found = list(processes.as_they_end(module.where, range(4), 2, 'out'))\n"
        "workers, parents, loaders = map(set, zip(*found))\n"
        "print(len(workers), len(parents), loaders == parents, module.LOADED_BY in parents)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stdout.split() == ["2", "1", "True", "False"], result.stderr


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(UserError, match=r"out: a worker process was killed; is the memory full\? Give fewer --workers"):
        list(processes.as_they_end(end_itself, range(2), 2, "out"))
