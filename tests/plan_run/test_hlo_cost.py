"""FLOPs and traffic read from compiled programs, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dima_jax.plan_run import hlo_cost, jaxpr_flops

DEVICES, LAYERS, ROWS, WIDTH = 8, 5, 16, 64
PRODUCT = 2 * ROWS * WIDTH * WIDTH


def layers(weights, x):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0].sum()


@pytest.fixture(scope="module")
def mesh():
    return Mesh(np.array(jax.devices()[:DEVICES]), ("d",))


def abstract(mesh, shape, *axes):
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(*axes)))


def test_loops_count_as_often_as_they_run(mesh):
    weights, x = abstract(mesh, (LAYERS, WIDTH, WIDTH)), abstract(mesh, (ROWS, WIDTH), "d")
    compiled = jax.jit(layers).lower(weights, x).compile()
    cost = hlo_cost.cost(compiled.as_text(), DEVICES)
    assert cost.flops == LAYERS * PRODUCT / DEVICES
    assert cost.unbounded_loops == 0
    assert jaxpr_flops.of_function(layers, weights, x) == LAYERS * PRODUCT


def test_rematerialization_shows(mesh):
    """Forward, and backward to inputs and weights, is three products a layer; with remat it is four."""
    weights, x = abstract(mesh, (LAYERS, WIDTH, WIDTH)), abstract(mesh, (ROWS, WIDTH), "d")

    def again(weights, x):
        body = jax.checkpoint(lambda x, w: (jnp.tanh(x @ w), None))
        return jax.lax.scan(body, x, weights)[0].sum()

    work = [jaxpr_flops.of_function(jax.grad(f, argnums=(0, 1)), weights, x) / PRODUCT for f in (layers, again)]
    assert work == [3 * LAYERS, 4 * LAYERS]
    compiled = jax.jit(jax.grad(again, argnums=(0, 1))).lower(weights, x).compile()
    assert hlo_cost.cost(compiled.as_text(), DEVICES).flops * DEVICES / PRODUCT == 4 * LAYERS


def test_traffic_of_a_ring(mesh):
    """Weights split over the ring are gathered once a layer; their gradients' sum crosses it once more."""
    weights, x = abstract(mesh, (LAYERS, WIDTH, WIDTH), None, "d"), abstract(mesh, (ROWS, WIDTH), "d")
    cost = hlo_cost.cost(jax.jit(layers).lower(weights, x).compile().as_text(), DEVICES)
    gathered = LAYERS * WIDTH * WIDTH * 4 * (DEVICES - 1) / DEVICES
    assert cost.sent["all-gather"] == gathered
    assert cost.collectives >= LAYERS


def test_loops_that_end_on_data_are_reported(mesh):
    x = abstract(mesh, (ROWS, ROWS))
    step = jax.jit(lambda x: jax.lax.while_loop(lambda x: x.sum() < 9.0, lambda x: x @ x, x))
    cost = hlo_cost.cost(step.lower(x).compile().as_text(), DEVICES)
    assert cost.unbounded_loops == 1 and cost.flops == 2 * ROWS**3


@pytest.mark.parametrize(("stride", "padding", "size"), [(1, "SAME", 3), (2, "SAME", 7), (1, "VALID", 3)])
def test_convolutions_count_the_taps_that_meet_pixels(mesh, stride, padding, size):
    image, kernel = np.ones((1, 12, 10, 1), np.float32), np.ones((size, size, 1, 1), np.float32)

    def convolve(image, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(image, kernel, (stride, stride), padding, dimension_numbers=numbers)

    taps = float(convolve(image, kernel).sum())  # of ones with ones: the number of products
    assert jaxpr_flops.of_function(convolve, image, kernel) == 2 * taps
    inputs = abstract(mesh, image.shape), abstract(mesh, kernel.shape)
    assert hlo_cost.cost(jax.jit(convolve).lower(*inputs).compile().as_text(), DEVICES).flops == 2 * taps


@pytest.mark.parametrize(("stride", "runs"), [(1, 6), (2, 3), (4, 2)])
def test_gpu_library_calls_tpu_estimates_and_loops_unrolled_by_a_stride(stride, runs):
    """As XLA's GPU and TPU compilers write them. The counter of a loop that is unrolled by two grows by two."""
    text = """
HloModule m, num_partitions=4

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], bf16[8,32])) -> (s32[], bf16[8,32]) {
  %p = (s32[], bf16[8,32]{1,0}) parameter(0)
  %x = bf16[8,32]{1,0} get-tuple-element(%p), index=1
  %i = s32[] get-tuple-element(%p), index=0
  %gemm = (bf16[8,32]{1,0}, s8[64]{0}) custom-call(%x, %x), custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %y = bf16[8,32]{1,0} get-tuple-element(%gemm), index=0
  %sent = bf16[8,32]{1,0} all-reduce(%y), replica_groups=[1,4]<=[4], to_apply=%add
  %by = s32[] constant(STRIDE)
  %next = s32[] add(%i, %by)
  ROOT %t = (s32[], bf16[8,32]{1,0}) tuple(%next, %sent)
}

%end (q: (s32[], bf16[8,32])) -> pred[] {
  %q = (s32[], bf16[8,32]{1,0}) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %n = s32[] constant(6)
  ROOT %less = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (z: (s32[], bf16[8,32]), image: f32[1,5,5,2], kernel: f32[3,3,2,4]) -> f32[1,3,3,4] {
  %z = (s32[], bf16[8,32]{1,0}) parameter(0)
  %image = f32[1,5,5,2]{3,2,1,0} parameter(1)
  %kernel = f32[3,3,2,4]{3,2,1,0} parameter(2)
  %turned = f32[1,5,5,2]{2,3,1,0} copy(%image), backend_config={"estimated_cycles":"9223372036854775807"}
  %loop = (s32[], bf16[8,32]{1,0}) while(%z), condition=%end, body=%body
  %conv = (f32[1,3,3,4]{3,2,1,0}, u8[0]{0}) custom-call(%image, %kernel), window={size=3x3}, dim_labels=b01f_01io->b01f, custom_call_target="__cudnn$convForward", backend_config={"estimated_cycles":"700"}
  ROOT %out = f32[1,3,3,4]{3,2,1,0} get-tuple-element(%conv), index=0
}
"""
    cost = hlo_cost.cost(text.replace("STRIDE", str(stride)), 4)
    assert cost.flops == runs * 2 * 8 * 32 * 32 + 2 * 3 * 3 * 4 * 3 * 3 * 2
    assert cost.sent == {"all-reduce": runs * 2 * (8 * 32 * 2) * 3 / 4}
    assert (cost.cycles, cost.unknown_cycles) == (700, 1)  # the copy's estimate is int64's largest: unknown


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("replica_groups={{0,1},{2,3}}, dimensions={0}", 2),
        ("replica_groups=[2,4]<=[8], dimensions={0}", 4),
        ("replica_groups=mesh['a'=8,'b'=1,'c'=8], device_ids=([8,8]T(1,0)) {'a'}, dimensions={0}", 8),
        ("replica_groups=mesh['a'=8,'b'=2] {'a','b'}, to_apply=%add", 16),
        ("replica_groups=mesh['a'=8,'b'=2] {'a':(2)4}, to_apply=%add", 4),
        ("replica_groups={}, to_apply=%add", 64),
        ("dimensions={0}", 64),
    ],
)
def test_groups_of_devices(written, size):
    assert hlo_cost.group_size(f"channel_id=1, {written}", 64) == size


def test_groups_written_otherwise_are_not_guessed():
    with pytest.raises(ValueError, match="unknown replica groups: replica_groups=@somewhere"):
        hlo_cost.group_size("channel_id=1, replica_groups=@somewhere", 64)
