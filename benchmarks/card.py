"""All that a card can tell of this project, in one call: speed and memory of every part, the forms of sampling compared.

    python -m benchmarks.card --out=card.json                  # on one GPU, or a TPU's first chip; nine minutes at most
    python -m benchmarks.card --tiny=configs/miniworld.py --base=configs/demo.py --runs=2          # a rehearsal on a CPU

Reads nothing: students of random weights, random frames. Each part is a process of its own, so that its peak of memory is its
own, and one that fails or takes too long costs the others nothing: it stands in the JSON with its last line. --out is written
anew after each part. `device_memory_gib` was used, `compiled_memory_gib` is what a plan of the run says.
"""

import json
import os
import subprocess
import sys
import time

from absl import flags

from benchmarks import measure
from dima_jax import cli, output_files

TINY = flags.DEFINE_string("tiny", "configs/vad_tiny.py", "Config of the small student.")
BASE = flags.DEFINE_string("base", "configs/base.py", "Config of the large student, with a teacher.")
LAYERS = flags.DEFINE_integer("layers", 4, "Layers of the teacher's LLM, which has the sizes of --base.", lower_bound=1)
RUNS = flags.DEFINE_integer("runs", 20, "Timed runs of every part.", lower_bound=1)
MINUTES = flags.DEFINE_float("minutes", 9.0, "For all parts together.", lower_bound=0.1)
PARTS = flags.DEFINE_list("parts", [], "Beginnings of the names of the parts to measure; default: all.")
OUT = flags.DEFINE_string("out", "card.json", "JSON to write.")

ONE_DEVICE = ("--config.mesh.data=1", "--config.mesh.fsdp=1", "--config.mesh.model=1")


def parts() -> dict[str, list[str]]:
    """{name: arguments of `python -m`}, the most wanted first."""

    def student(config: str, part: str, *lines: str) -> list[str]:
        options = [f"--threads={os.cpu_count()}", f"--runs={RUNS.value}", f"--alone={part}"]
        return ["benchmarks.student", f"--config={config}", *options, *lines]

    def in_both_types(part: str, size: str, config: str, *lines: str) -> dict[str, list[str]]:
        return {
            f"{part} {size} {dtype}": student(config, part, f"--config.student.dtype={dtype}", *lines)
            for dtype in ("float32", "bfloat16")
        }

    small, large, no_teacher = TINY.value, BASE.value, "--config.teacher.enabled=False"
    sampling = {
        size: ["benchmarks.sampling", f"--config={config}", f"--runs={RUNS.value}"]
        for size, config in (("small", small), ("large", large))
    }
    lines = [f"--config.teacher.llm.layers={LAYERS.value}", "--config.teacher.weights=", "--config.data.batch_size=1"]
    return {
        **in_both_types("forward", "small", small),
        **in_both_types("forward", "large", large),
        "sampling large": sampling["large"],
        "sampling small": sampling["small"],
        **in_both_types("train", "small", small, no_teacher),
        "joint large": ["benchmarks.train_step", f"--config={large}", f"--runs={RUNS.value}", *lines, *ONE_DEVICE],
        "onnxruntime small": student(small, "onnx_cuda"),
        "backbone small": student(small, "backbone"),
        **in_both_types("train", "large", large, no_teacher),
    }


def main() -> None:
    chosen = {name: of for name, of in parts().items() if not PARTS.value or name.startswith(tuple(PARTS.value))}
    end = time.monotonic() + 60 * MINUTES.value
    results: dict[str, dict] = {}
    output_files.check_place(OUT.value)
    for number, (name, arguments) in enumerate(chosen.items(), 1):
        print(f"{number} of {len(chosen)}, {name}; {max(end - time.monotonic(), 0):.0f} s left", file=sys.stderr)
        results[name] = measured(arguments, end - time.monotonic())
        output_files.write_json(OUT.value, {"benchmark": "card", "parts": results, "machine": measure.machine()})
    measure.print_json(benchmark="card", parts=results)


def measured(arguments: list[str], seconds: float) -> dict:
    """What a process prints as JSON, or {"failed": why}; "seconds": of the whole process."""
    if seconds <= 0:
        return {"failed": "no time was left"}
    environment = {"GLIBC_TUNABLES": measure.ALLOCATOR, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | os.environ
    start = time.monotonic()
    try:
        command = [sys.executable, "-m", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {seconds:.0f} s"}
    if run.returncode:
        lines = run.stderr.strip().splitlines()
        return {"failed": lines[-1][:300] if lines else f"exit status {run.returncode}"}
    printed = json.loads(run.stdout[run.stdout.index("{") :])
    printed.pop("machine", None)
    return printed | {"seconds": time.monotonic() - start}


if __name__ == "__main__":
    cli.run(main)
