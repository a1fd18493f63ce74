"""Two or more processes that do the same work and take turns, so that the noise of the machine meets all of them."""

import json
import math
import os
import subprocess

import numpy as np

from benchmarks import measure
from dima_jax.output_files import json_text

TURN_SECONDS = 0.5  # of the fastest side, at least


class Side:
    """A process of a module that calls `serve.serve`: it gets a number of calls on a line and answers with a line of JSON."""

    def __init__(self, python: str, module: str, task: dict):
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.{module}", json_text(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"GLIBC_TUNABLES": measure.ALLOCATOR} | os.environ,
        )
        self.answers = []

    def run(self, calls: int) -> float:
        """Seconds per call; the whole answer joins `answers`."""
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with status {self.process.wait()}")
        self.answers.append(json.loads(line))
        return self.answers[-1]["seconds"]

    def turns(self, name: str, runs: int) -> np.ndarray:
        """One thing it answered, of the last turns."""
        return np.array([answer[name] for answer in self.answers[-runs:]])

    def close(self, runs: int) -> dict:
        """Ends the process; what it measured."""
        peak = json.loads(self.process.communicate()[0])["peak_memory_gib"]
        seconds = self.turns("seconds", runs)
        return {
            "median_s": np.median(seconds),
            "min_s": seconds.min(),
            "max_s": seconds.max(),
            "median_cpu_s": np.median(self.turns("cpu_seconds", runs)),
            "peak_memory_gib": peak,
        }


def take_turns(sides: dict[str, Side], runs: int) -> dict:
    """What each side measured, after one call that does not count; `calls_per_turn`."""
    calls = math.ceil(TURN_SECONDS / min(side.run(1) for side in sides.values()))
    for _ in range(runs):
        for side in sides.values():
            side.run(calls)
    return {name: side.close(runs) for name, side in sides.items()} | {"calls_per_turn": calls}


def ratios(ours: Side, torch: Side, runs: int, name: str) -> dict:
    """How many times faster than PyTorch, and how far the results are apart. name: of our side."""
    pairs = {kind: (torch.turns(kind, runs), ours.turns(kind, runs)) for kind in ("seconds", "cpu_seconds")}
    return {
        f"ratio_{name}_to_torch": np.median(pairs["seconds"][0] / pairs["seconds"][1]),
        "ratio_of_fastest_turns": pairs["seconds"][0].min() / pairs["seconds"][1].min(),
        "ratio_of_cpu_seconds": np.median(pairs["cpu_seconds"][0] / pairs["cpu_seconds"][1]),
        "largest_difference": np.abs(ours.turns("result", runs) - torch.turns("result", runs)).max(),
    }
