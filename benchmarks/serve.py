"""The loop of a side of `benchmarks.teacher` or `benchmarks.backbone`: nothing but the standard library
and numpy is needed, so that any interpreter can run it."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import measure
from dima_jax.output_files import json_text


def read_task() -> tuple[dict, dict[str, np.ndarray]]:
    """(what the driver asked for, {path: array} of its folder)."""
    task = json.loads(sys.argv[1])
    return task, {file.stem.replace(".", "/"): np.load(file) for file in Path(task["folder"]).glob("*.npy")}


def serve(call: Callable[[], object], outcome: Callable[[object], list[float]]) -> None:
    """Answers each line on stdin, a number of calls, with a line of JSON: seconds and cpu_seconds (of all threads) per
    call, and the outcome of the last one. One more call, not counted, comes first: it is slower after the other side's turn
    (JAX's train step most; the reason was not found), so leaving it out favors JAX there.

    call: runs once and waits for its result. outcome: a few numbers of that result; its time does not count.
    """
    for line in sys.stdin:
        call()
        start, start_cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            result = call()
        seconds = (time.perf_counter() - start) / int(line)
        cpu_seconds = (time.process_time() - start_cpu) / int(line)
        print(json_text({"seconds": seconds, "cpu_seconds": cpu_seconds, "result": outcome(result)}), flush=True)
    print(json_text({"peak_memory_gib": measure.peak_memory_gib()}))
