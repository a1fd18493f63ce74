"""A process that holds a lock until it is told to end, or killed."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOLD = """
import sys
from dima_jax import locks
with locks.held(sys.argv[1], "runs/x"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(file: Path) -> Iterator[subprocess.Popen]:
    """The process that holds the lock `file`; it ends with the context."""
    command = [sys.executable, "-c", HOLD, str(file)]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.communicate("")
