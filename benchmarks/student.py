"""The student alone at full size: forward in JAX and in onnxruntime, and one train step, on one and on two cores.

    python -m benchmarks.student --config=configs/vad_tiny.py [--runs=5] [--parts=forward,onnx,train] [--threads=1,2]

Each figure comes from a process of its own, held to its cores before JAX starts: seconds per frame (batch 1, with a
previous BEV) or per step, and that process's largest resident memory, compilation included. JSON on stdout.
The processes get `measure.ALLOCATOR`, as `make demo` does: huge pages, and freed memory is kept. Without, XLA's large
temporaries are mapped and cleared again in every run. The part onnx_gather is the file of `export --sampling=gather`, onnx_cuda
runs on a GPU and needs onnxruntime-gpu. On a GPU a figure has the device's memory, too: what was used, and what the compiler
says that is needed.

The part backbone is a guard: products a second of the image encoder alone, forward and with its gradients, beside those of a
plain matrix product. Gradients that fall far behind the forward pass are compiled badly.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import flags

from benchmarks import measure
from dima_jax import cli
from dima_jax.errors import UserError
from dima_jax.output_files import json_text

CONFIG = cli.define_config("configs/vad_tiny.py")
RUNS = flags.DEFINE_integer("runs", 5, "Timed runs.", lower_bound=1)
PARTS = flags.DEFINE_list(
    "parts", ["forward", "onnx", "train"], "What is measured; also: backbone, onnx_gather, onnx_cuda."
)
THREADS = flags.DEFINE_list("threads", ["1", "2"], "Numbers of cores.")
ALONE = flags.DEFINE_string("alone", None, "Internal: the one part this process measures.")


def main() -> None:
    if ALONE.value:
        os.sched_setaffinity(0, set(range(int(THREADS.value[0]))))
        print(json_text(MEASURES[ALONE.value](CONFIG.value) | {"peak_memory_gib": measure.peak_memory_gib()}))
        return
    results = {}
    for part in PARTS.value:
        for threads in THREADS.value:
            arguments = [*sys.argv[1:], f"--alone={part}", f"--threads={threads}"]
            command = [sys.executable, "-m", "benchmarks.student", *arguments]
            environment = {"GLIBC_TUNABLES": measure.ALLOCATOR} | os.environ
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            lines = run.stdout.splitlines()
            results[f"{part}, {threads} cores"] = json.loads(lines[-1])
    measure.print_json(benchmark="student", config=flags.FLAGS["config"].config_filename, **results)


def student_and_frame(config):
    """(a `JaxStudent`, the inputs of a second frame), random."""
    import numpy as np
    from flax import nnx

    from dima_jax import fake_frames, weights
    from dima_jax.jax_student import JaxStudent
    from dima_jax.student import student as student_lib

    frame = fake_frames.drive(config.data.image_shape, 2, 1)[1]
    shape = (1, config.student.bev_shape[0] * config.student.bev_shape[1], config.student.width)
    bev = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    inputs = (frame.images, frame.lidar2img, frame.can_bus, frame.command, bev, np.array([True]))
    _, params = weights.split(student_lib.build(config, nnx.Rngs(0)))
    return JaxStudent(config, params), tuple(map(np.asarray, inputs))


def forward(config) -> dict:
    import jax

    from dima_jax import jax_student, weights

    student, inputs = student_and_frame(config)
    graph, params = weights.split(student.module)
    run = jax.jit(lambda params, *inputs: jax_student.run(weights.bind(graph, params), config, *inputs)[0])
    compiled = run.lower(params, *inputs).compile()
    params, inputs = jax.device_put((params, inputs))
    jax.block_until_ready(compiled(params, *inputs))
    timing = measure.seconds(lambda: jax.block_until_ready(compiled(params, *inputs)), RUNS.value)
    return timing | measure.device() | {"compiled_memory_gib": measure.compiled_memory_gib(compiled)}


def onnx(config, sampling: str = "grid_sample", provider: str = "CPUExecutionProvider") -> dict:
    import onnxruntime

    from dima_jax import interface, onnx_export, onnx_student

    if provider not in onnxruntime.get_available_providers():
        raise UserError(f"onnxruntime has no {provider}; pip install onnxruntime-gpu")
    student, inputs = student_and_frame(config)
    with tempfile.TemporaryDirectory() as folder:
        file = onnx_export.export_student(student, Path(folder) / "student.onnx", sampling=sampling)
        session = onnx_student.open_session(str(file), int(THREADS.value[0]), provider)
    feed = dict(zip(interface.INPUTS, inputs, strict=True))
    session.run(None, feed)
    return measure.seconds(lambda: session.run(None, feed), RUNS.value)


def train(config) -> dict:
    import jax

    from dima_jax import optimizer, sharding
    from dima_jax.data import loader
    from dima_jax.sharded_model import ShardedModel
    from dima_jax.train_step import init_train_state, make_train_step

    config.mesh.update(data=1, fsdp=1, model=1)
    config.data.batch_size = 1
    model, optim = ShardedModel(config, jax.devices()[:1]), optimizer.build(config, steps_per_epoch=1000)
    state, frozen = init_train_state(model, optim)
    batch = sharding.place_batch(model.mesh, loader.example(config))
    key = jax.random.key(0)
    compiled = make_train_step(model, optim).lower(state, frozen, batch, key).compile()

    def run():
        nonlocal state
        state, log = compiled(state, frozen, batch, key)
        jax.block_until_ready(log)

    run()
    timing = measure.seconds(run, RUNS.value)
    return timing | measure.device() | {"compiled_memory_gib": measure.compiled_memory_gib(compiled)}


def backbone(config) -> dict:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from dima_jax import weights
    from dima_jax.student import student as student_lib

    graph, params = weights.split(student_lib.build(config, nnx.Rngs(0)).image_encoder)
    images = jnp.ones((len(config.data.cameras), *config.data.image_shape, 3), jnp.float32)

    def forward(params, images):
        return weights.bind(graph, params)(images)

    def gradients(params, images):
        return jax.grad(lambda params: sum(jnp.square(level).sum() for level in forward(params, images)))(params)

    def rate(name, function, arguments, products=None):
        """(multiplications with addition of a run, by default as XLA counts them; seconds, and how many a second)."""
        compiled = jax.jit(function).lower(*arguments).compile()
        products = compiled.cost_analysis()["flops"] / 2 if products is None else products
        jax.block_until_ready(compiled(*arguments))
        median = measure.seconds(lambda: jax.block_until_ready(compiled(*arguments)), RUNS.value)["median_s"]
        return products, {f"{name}_s": median, f"{name}_gmac_per_s": products / median / 1e9}

    matrix = jnp.ones((2048, 2048), jnp.float32)
    _, plain = rate("matrix_product", jnp.matmul, (matrix, matrix))
    products, once = rate("forward", forward, (params, images))
    _, whole = rate("forward_and_gradients", gradients, (params, images), 3 * products)
    return plain | once | whole | measure.device()


MEASURES = {
    "backbone": backbone,
    "forward": forward,
    "onnx": onnx,
    "onnx_gather": functools.partial(onnx, sampling="gather"),
    "onnx_cuda": functools.partial(onnx, provider="CUDAExecutionProvider"),
    "train": train,
}

if __name__ == "__main__":
    cli.run(main)
