"""Our sides of `benchmarks.backbone`: the image encoder in JAX, jitted, and in onnxruntime. Started by it, not by hand."""

from pathlib import Path

import numpy as np

from benchmarks.serve import read_task, serve


def encoder_of(config, rngs):
    """The image encoder of a student."""
    from dima_jax.student import student as student_lib

    return student_lib.build(config, rngs).image_encoder


def outcome(levels) -> list[float]:
    """Some numbers of every level [images, rows, columns, channels]."""
    return [float(x) for level in levels for x in np.asarray(level)[-1, level.shape[1] // 2, level.shape[2] // 2, :32]]


def main() -> None:
    task, arrays = read_task()
    images = arrays.pop("images")
    if task["side"] == "onnx":
        from dima_jax import onnx_student

        session = onnx_student.open_session(str(Path(task["folder"]) / "encoder.onnx"), task["threads"])
        serve(lambda: session.run(None, {"images": images}), outcome)
        return
    import jax
    from flax import nnx
    from ml_collections import ConfigDict

    from dima_jax import weights

    graph, _ = weights.split(nnx.eval_shape(lambda: encoder_of(ConfigDict(task["config"]), nnx.Rngs(0))))
    run = jax.jit(lambda params, images: weights.bind(graph, params)(images))
    params, images = jax.device_put((arrays, images))
    serve(lambda: jax.block_until_ready(run(params, images)), outcome)


if __name__ == "__main__":
    main()
