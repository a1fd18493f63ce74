"""The count of the method's work against closed forms, and no hidden recomputation in the student."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dima_jax import jax_student, sharding, weights
from dima_jax.configs import base, vad_tiny
from dima_jax.plan_run import hlo_cost, jaxpr_flops
from dima_jax.student import student as student_lib
from dima_jax.teacher.llama import Llama
from tests.mini import mini_config


def bottlenecks(rows, columns, blocks=(3, 4, 6, 3), width=64):
    """Multiply-adds of ResNet-50 on one image, padding counted as pixels."""
    work = rows * columns // 4 * 49 * 3 * width
    rows, columns, c_in = rows // 4, columns // 4, width
    for i, n in enumerate(blocks):
        inner = width * 2**i
        for j in range(n):
            stride = 2 if i and not j else 1
            area = rows * columns
            rows, columns = rows // stride, columns // stride
            work += area * c_in * inner + rows * columns * (9 * inner**2 + 4 * inner**2)
            work += 0 if j else rows * columns * c_in * 4 * inner
            c_in = 4 * inner
    return work


def test_backbone_is_resnet50():
    config = vad_tiny.get_config()
    graph, shapes = student_lib.abstract(config)
    image = jax.ShapeDtypeStruct((6, *config.data.image_shape, 3), jnp.float32)
    counted = {}
    for platform in ("gpu", "cpu"):
        with sharding.tracing_for(platform):
            counted[platform] = jaxpr_flops.of_function(
                lambda p, x: weights.bind(graph, p).image_encoder.backbone(x), shapes, image
            )
    expected = 6 * 2 * bottlenecks(*config.data.image_shape)
    assert 0.97 < counted["gpu"] / expected <= 1.0  # the closed form counts products with padding
    # 13 of the 16 convolutions of 3x3 have no stride, and take half of their products on CPUs
    halves = 6 * 13 * 9 * 64**2 * config.data.image_shape[0] * config.data.image_shape[1] // 16
    assert 0.97 < counted["cpu"] / (expected - halves) <= 1.01


def test_llm_is_two_per_weight_and_token():
    config = base.get_config().teacher.llm
    graph, shapes = weights.split(nnx.eval_shape(lambda: Llama(**config, rngs=nnx.Rngs(0))))
    batch, length, prefix = 2, 612, 100
    x = jax.ShapeDtypeStruct((batch, length, config.width), jnp.bfloat16)
    mask = jax.ShapeDtypeStruct((batch, length), bool)

    def states(params, x, mask):
        return weights.bind(graph, params)(x, mask, prefix=prefix, lora=None)

    linear = sum(int(np.prod(value.shape)) for path, value in shapes.items() if path.endswith("kernel"))
    pairs = prefix**2 + sum(128 * (prefix + 128 * i) for i in (1, 2, 3, 4))  # of queries and keys: four blocks of text
    attention = 2 * config.layers * pairs * config.width
    counted = jaxpr_flops.of_function(states, shapes, x, mask)
    np.testing.assert_allclose(counted, 2 * batch * (length * linear + attention), rtol=1e-3)


def test_the_compiled_student_computes_nothing_twice():
    config = mini_config()
    graph, shapes = student_lib.abstract(config)
    inputs = tuple(jax_student.input_specs(config, 1).values())

    def run(params, *inputs):
        return jax_student.run(weights.bind(graph, params), config, *inputs)[0]

    needed = jaxpr_flops.of_function(run, shapes, *inputs)
    compiled = hlo_cost.cost(jax.jit(run).lower(shapes, *inputs).compile().as_text(), 1).flops
    assert 0.8 < compiled / needed < 1.02  # XLA drops products that it can write as sums
