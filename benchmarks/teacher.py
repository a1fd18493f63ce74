"""The teacher's LLM with LoRA: tokens per second of a forward pass and of a LoRA train step, in JAX and in PyTorch.

    python -m benchmarks.teacher --llm=smollm2_135m [--weights=DIR] [--torch_python=PATH] [--runs=7]

Batch 2 of 256 tokens, float32, no rematerialization. `forward` ends with the logits of every position; `train` is the
mean cross-entropy of the next token, gradients of LoRA alone and an AdamW update of LoRA alone. --weights: a folder of
`python -m dima_jax.convert llama`; without it the weights are random, which takes the same time.
--torch_python: an interpreter with torch and transformers (a benchmark extra: `python3.11 -m venv DIR`, then
`DIR/bin/pip install torch==2.13.0+cpu transformers==5.23.0`). It then runs the same weights through transformers.

Prints JSON: per side and part tokens per second (median over turns), seconds and CPU seconds (of all threads) of a call,
and the largest resident memory of that side's process, compilation and weights included; how many times faster JAX is
(`ratio_jax_to_torch`: median over turns; of the fastest turns; of the CPU seconds); and how far the results (logits of
one position; losses of all turns) are apart.

Every side and part is a process of its own with the same number of threads. The sides take turns of half a second or
more, after a call that is not counted, while the other waits: the noise of the machine meets both. That is not enough
when the machine is busy: torch's threads wait for each other after every operation, and lose more. Then hold the run to
one core (`taskset -c 0 python -m benchmarks.teacher`) and read the CPU seconds.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks import measure, sides
from dima_jax import cli
from dima_jax.configs import base, demo, demo_smollm2

LLM = flags.DEFINE_enum("llm", "smollm2_135m", ["tiny", "smollm2_135m"], "Size: configs/demo.py's or SmolLM2-135M.")
WEIGHTS = flags.DEFINE_string("weights", "", "Folder of `dima_jax.convert llama`; empty = random.")
TORCH_PYTHON = flags.DEFINE_string("torch_python", "", "Interpreter with torch and transformers; empty = JAX alone.")
RUNS = flags.DEFINE_integer("runs", 7, "Turns of each side.", lower_bound=1)
PARTS = flags.DEFINE_list("parts", ["forward", "train"], "What is measured.")

BATCH, LENGTH = 2, 256
SIZES = ("layers", "width", "heads", "kv_heads", "ffn_width", "vocab", "rope_theta", "rms_eps", "tied")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        task = write_task(Path(folder))
        results = {part: compare({**task, "part": part}) for part in PARTS.value}
    size = dict(llm=LLM.value, batch=BATCH, length=LENGTH, rank=task["rank"], turns=RUNS.value)
    measure.print_json(benchmark="teacher", weights=WEIGHTS.value or "random", **size, **results)


def compare(task: dict) -> dict:
    """One part on every side, turn by turn."""
    every = {"jax": sides.Side(sys.executable, "jax_llama", task)}
    if TORCH_PYTHON.value:
        every["torch"] = sides.Side(TORCH_PYTHON.value, "torch_llama", task)
    found = sides.take_turns(every, RUNS.value)
    for name in every:
        found[name]["tokens_per_second"] = BATCH * LENGTH / found[name]["median_s"]
    if len(every) > 1:
        found |= sides.ratios(every["jax"], every["torch"], RUNS.value, "jax")
    return found


def write_task(folder: Path) -> dict:
    """The weights and tokens as .npy files in `folder`, one per path; what a side has to know."""
    from dima_jax.convert import llm_folder

    if LLM.value == "tiny":
        small = demo.get_config().teacher
        llm, lora = small.llm, small.lora
    else:
        llm, lora = demo_smollm2.get_config().teacher.llm, base.get_config().teacher.lora
    sizes, rank, alpha = {name: llm[name] for name in SIZES}, lora.rank, lora.alpha
    random = np.random.default_rng(0)
    arrays = {"tokens": random.integers(0, sizes["vocab"], (BATCH, LENGTH)).astype(np.int32)}
    for path, shape in llm_folder.shapes_of(sizes).items():
        scale = path.endswith("scale")
        arrays[f"llm/{path}"] = np.ones(shape) if scale else 0.02 * random.standard_normal(shape, np.float32)
        if path.endswith("kernel"):
            layers, width_in, width_out = shape
            name = path.split("/")[1]
            arrays[f"lora/{name}/a"] = random.uniform(-1, 1, (layers, width_in, rank)) / width_in**0.5
            arrays[f"lora/{name}/b"] = 0.02 * random.standard_normal((layers, rank, width_out))
    if WEIGHTS.value:
        arrays |= read_weights(sizes)
    for path, value in arrays.items():
        np.save(folder / f"{path.replace('/', '.')}.npy", value if path == "tokens" else value.astype(np.float32))
    return dict(folder=str(folder), sizes=sizes, rank=rank, alpha=alpha, threads=len(os.sched_getaffinity(0)))


def read_weights(sizes: dict) -> dict[str, np.ndarray]:
    """{path: float32} of the folder --weights."""
    import jax

    from dima_jax.convert import llm_folder

    abstract = {
        f"llm/{path}": jax.ShapeDtypeStruct(shape, np.float32) for path, shape in llm_folder.shapes_of(sizes).items()
    }
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    loaded = llm_folder.load(WEIGHTS.value, abstract, dict.fromkeys(abstract, here))
    return {path: np.asarray(value) for path, value in loaded.items()}


if __name__ == "__main__":
    cli.run(main)
