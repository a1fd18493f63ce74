"""The image encoder alone (ResNet and FPN), six cameras of one frame: JAX, onnxruntime, and PyTorch tuned for CPUs.

    python -m benchmarks.backbone --config=configs/vad_tiny.py [--torch_python=PATH] [--runs=5]

--torch_python: an interpreter with torch and numpy (`python3.11 -m venv DIR`, then `DIR/bin/pip install torch==2.13.0 numpy`).
It runs the same weights in plain layers as fast as we know how: norms folded into the convolutions, channels last, inference
mode, and the allocator settings that all sides get. Sides take turns, as in `benchmarks.teacher`, which says how to measure
on a busy machine. Prints JSON: seconds and CPU seconds of a call, memory, how many times faster than PyTorch each of our
sides is, and how far its results are apart.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from absl import flags

from benchmarks import measure, sides
from dima_jax import cli

CONFIG = cli.define_config("configs/vad_tiny.py")
TORCH_PYTHON = flags.DEFINE_string("torch_python", "", "Interpreter with torch and numpy; empty = ours alone.")
RUNS = flags.DEFINE_integer("runs", 5, "Turns of each side.", lower_bound=1)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        task = write_task(CONFIG.value, Path(folder))
        every = {name: sides.Side(sys.executable, "backbone_side", {**task, "side": name}) for name in ("jax", "onnx")}
        if TORCH_PYTHON.value:
            every["torch"] = sides.Side(TORCH_PYTHON.value, "torch_backbone", task)
        found = sides.take_turns(every, RUNS.value)
    if "torch" in every:
        for name in ("jax", "onnx"):
            found[f"{name} against torch"] = sides.ratios(every[name], every["torch"], RUNS.value, name)
    config = flags.FLAGS["config"].config_filename
    measure.print_json(benchmark="backbone", config=config, threads=task["threads"], turns=RUNS.value, **found)


def write_task(config, folder: Path) -> dict:
    """Random weights and images as .npy files, the encoder as ONNX; what a side has to know."""
    import numpy as np
    from flax import nnx

    from benchmarks.backbone_side import encoder_of
    from dima_jax import onnx_export, weights

    graph, params = weights.split(encoder_of(config, nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    for path, value in params.items():
        kind = path.rsplit("/", 1)[-1]
        if kind in ("mean", "bias"):
            value = 0.1 * rng.standard_normal(value.shape, np.float32)
        elif kind in ("scale", "var"):
            value = rng.uniform(0.5, 1.0, value.shape)
        params[path] = np.asarray(value, np.float32)
        np.save(folder / f"{path.replace('/', '.')}.npy", params[path])
    images = rng.standard_normal((len(config.data.cameras), *config.data.image_shape, 3), np.float32)
    np.save(folder / "images.npy", images)
    encoder = weights.bind(graph, params)
    model = onnx_export.plain_model(encoder, {"images": images}, [f"level{i}" for i in range(_levels(config))])
    (folder / "encoder.onnx").write_bytes(model.SerializeToString())
    sizes = {name: list(config.student[name]) for name in ("stage_blocks", "out_stages")}
    return {
        "folder": str(folder),
        "config": json.loads(config.to_json()),
        "sizes": sizes | {"extra_levels": config.student.extra_levels},
        "threads": len(os.sched_getaffinity(0)),
    }


def _levels(config) -> int:
    return len(config.student.out_stages) + config.student.extra_levels


if __name__ == "__main__":
    cli.run(main)
