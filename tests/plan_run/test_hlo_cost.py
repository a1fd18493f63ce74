"""What compiled programs cost: FLOPs, traffic, times by part, against closed forms."""

from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dima_jax import expected_work
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
    assert cost.waiting_loops == 0


@pytest.mark.parametrize(("bound", "scope"), [(9.0, nullcontext()), (8.0, expected_work.turns(7))])
def test_loops_at_whose_ends_devices_wait_are_reported(mesh, bound, scope):
    """The largest of rows that are split is sent at every turn."""
    x = abstract(mesh, (ROWS, ROWS), "d")

    def step(x):
        with scope:
            return jax.lax.while_loop(lambda x: x.max() < bound, lambda x: 2.0 * x, x)

    cost = hlo_cost.cost(jax.jit(step).lower(x).compile().as_text(), DEVICES)
    assert cost.waiting_loops == 1 and cost.unbounded_loops == (bound == 9.0)


def test_a_loop_that_ends_on_data_counts_as_often_as_the_model_expects(mesh):
    x = abstract(mesh, (ROWS, ROWS))

    def step(x):
        with expected_work.turns(7):
            return jax.lax.while_loop(lambda x: x.sum() < 9.0, lambda x: x @ x, x)

    cost = hlo_cost.cost(jax.jit(step).lower(x).compile().as_text(), DEVICES)
    assert cost.unbounded_loops == 0 and cost.flops == 7 * 2 * ROWS**3


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
    cost = hlo_cost.cost(text.replace("STRIDE", str(stride)), 4, "v5e")
    assert cost.flops == runs * 2 * 8 * 32 * 32 + 2 * 3 * 3 * 4 * 3 * 3 * 2
    assert cost.sent == {"all-reduce": runs * 2 * (8 * 32 * 2) * 3 / 4}
    assert cost.seconds == {"other": 700 / 1.5e9, "collectives": pytest.approx(cost.sent["all-reduce"] / 200e9)}
    # The copy's estimate is int64's largest: unknown, as the library call is to a TPU.
    assert cost.unknown == {"copy": 1, "__cublas$gemm": 1}


LOOP = """
%gather (t: f32[1000,32], i: s32[400,1]) -> f32[400,32] {
  %t = f32[1000,32]{1,0:T(8,128)S(1)} parameter(0)
  %i = s32[400,1]{1,0} parameter(1)
  ROOT %g = f32[400,32]{1,0} gather(%t, %i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,32}
}

%body (p: (s32[], f32[1000,32], s32[400,1])) -> (s32[], f32[1000,32], s32[400,1]) {
  %p = (s32[], f32[1000,32]{1,0:T(8,128)S(1)}, s32[400,1]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%p), index=0
  %a = f32[1000,32]{1,0:T(8,128)S(1)} get-tuple-element(%p), index=1
  %c = s32[400,1]{1,0} get-tuple-element(%p), index=2
  %rows = f32[400,32]{1,0} fusion(%a, %c), kind=kCustom, calls=%gather, metadata={op_name="jit(f)/jvp(bev_encoder)/gather"}
  %odd = f32[4096]{0} custom-call(%c), custom_call_target="tpu_custom_call"
  ROOT %t = (s32[], f32[1000,32]{1,0:T(8,128)S(1)}, s32[400,1]{1,0}) tuple(%n, %a, %c)
}

%end (q: (s32[], f32[1000,32], s32[400,1])) -> pred[] {
  %q = (s32[], f32[1000,32]{1,0:T(8,128)S(1)}, s32[400,1]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

%skipped (s: f32[2]) -> f32[2] {
  ROOT %s = f32[2]{0} parameter(0)
}

%taken (u: f32[2]) -> f32[2] {
  %u = f32[2]{0} parameter(0)
  ROOT %v = f32[2]{0} negate(%u), backend_config={"estimated_cycles":"1500"}
}

ENTRY %main (z: (s32[], f32[1000,32], s32[400,1]), w: f32[2], which: s32[]) -> f32[2] {
  %z = (s32[], f32[1000,32]{1,0:T(8,128)S(1)}, s32[400,1]{1,0}) parameter(0)
  %w = f32[2]{0} parameter(1)
  %which = s32[] parameter(2)
  %loop = (s32[], f32[1000,32]{1,0:T(8,128)S(1)}, s32[400,1]{1,0}) while(%z), condition=%end, body=%body, metadata={op_name="jit(f)/jvp(bev_encoder)/while"}COUNT
  ROOT %cond = f32[2]{0} conditional(%which, %w, %w), branch_computations={%skipped, %taken}, metadata={op_name="jit(f)/heads/cond"}
}
"""
GATHER_SECONDS = 400 * 4.35 / 1.5e9


def test_a_gather_in_a_loop_counts_as_often_as_the_loop_runs():
    cost = hlo_cost.cost(LOOP.replace("COUNT", ', backend_config={"known_trip_count":{"n":"32"}}'), 1, "v5e")
    assert cost.gather_seconds["BEV encoder"] == pytest.approx(32 * GATHER_SECONDS)
    assert cost.unknown == {"tpu_custom_call": 1} and cost.unknown_bytes == 32 * (400 * 4 + 4096 * 4)
    assert cost.unbounded_loops == 0


def test_without_a_trip_count_it_counts_once_and_is_reported():
    cost = hlo_cost.cost(LOOP.replace("COUNT", ""), 1, "v5e")
    assert cost.gather_seconds["BEV encoder"] == pytest.approx(GATHER_SECONDS)
    assert cost.unbounded_loops == 1


def test_a_branch_is_taken_for_most_and_left_out_for_least():
    cost = hlo_cost.cost(LOOP.replace("COUNT", ""), 1, "v5e")
    assert cost.seconds["heads"] == pytest.approx(1e-6)
    assert cost.least_seconds == pytest.approx(sum(cost.seconds.values()) - 1e-6)
