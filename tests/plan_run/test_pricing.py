"""Prices of single instructions: what is known, by which rule, and what is said to be unknown."""

import pytest

from dima_jax.plan_run import hlo, pricing

TEXT = """
%fused (t: f32[1000,32], i: s32[400,1]) -> f32[400,32] {
  %t = f32[1000,32]{0,1:T(8,128)} parameter(0)
  %i = s32[400,1]{1,0} parameter(1)
  ROOT %g = f32[400,32]{1,0} gather(%t, %i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,32}
}

ENTRY %main (a: f32[1000,32], c: s32[400,1], m: f32[1024,1024], b: bf16[1024,1024]) -> f32[400,32] {
  %a = f32[1000,32]{0,1:T(8,128)} parameter(0)
  %c = s32[400,1]{1,0} parameter(1)
  %m = f32[1024,1024]{1,0} parameter(2)
  %b = bf16[1024,1024]{1,0} parameter(3)
  %rows = f32[400,32]{1,0} fusion(%a, %c), kind=kCustom, calls=%fused
  %stated = f32[1024,1024]{1,0} add(%m, %m), backend_config={"estimated_cycles":"3000"}
  %hidden = f32[1024,1024]{1,0} copy(%m), backend_config={"estimated_cycles":"9223372036854775807"}
  %silent = f32[1024,1024]{1,0} reshape(%m)
  %counter = s32[] add(%n, %n)
  %call = f32[1024,1024]{1,0} custom-call(%m), custom_call_target="tpu_custom_call"
  %attention = f32[1024,1024]{1,0} custom-call(%m), custom_call_target="__cudnn$fmhaSoftmax"
  %kernel = f32[1024,1024]{1,0} custom-call(%m), custom_call_target="__gpu$xla.gpu.triton", metadata={op_name="jit(f)/expect_8000000_row_bytes/pallas_call"}
  %dot = f32[1024,1024]{1,0} dot(%m, %m), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %half = f32[1024,1024]{1,0} dot(%b, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %whole = f32[1024,1024]{1,0} dot(%m, %m), lhs_contracting_dims={1}, rhs_contracting_dims={0}, operand_precision={highest,highest}
  %odd = f32[1024,1024]{1,0} dot(%m, %m), lhs_contracting_dims={1}, rhs_contracting_dims={0}, algorithm=dot_any
  %sum = f32[1024,1024]{1,0} all-reduce(%m), replica_groups={{0,1}}, to_apply=%add
  ROOT %out = f32[400,32]{1,0} bitcast(%rows)
}
"""
MATRIX = 1024 * 1024 * 4


def price(name, kind):
    computations, entry = hlo.parse(TEXT)
    table = {i.name: i for i in computations[entry]}
    return pricing.price(table[name], table, computations, 2, kind)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("stated", 3000 / 1.5e9),
        ("rows", 400 * 16384 / 0.819e12),
        ("sum", MATRIX / 200e9),  # 2 (n - 1) / n of it
        ("counter", 0.0),
        ("out", 0.0),
        ("hidden", None),
        ("silent", None),
        ("call", None),
    ],
)
def test_a_tpu_takes_stated_cycles_rows_and_traffic(name, seconds):
    found = price(name, "v5e").seconds
    assert found == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("stated", 2 * MATRIX / 2.039e12),
        ("rows", (400 * 32 * 32 + 400 * 4 + 400 * 32 * 4) / 2.039e12),
        ("dot", 2 * 1024**3 / 156e12),
        ("half", 2 * 1024**3 / 312e12),
        ("whole", 2 * 1024**3 / 19.5e12),
        ("odd", None),
        ("call", None),
        ("kernel", (2 * MATRIX + 8e6) / 2.039e12),  # a kernel of our own
        ("attention", None),  # a library call whose products are not counted
    ],
)
def test_a_gpu_takes_the_larger_of_arithmetic_and_bytes(name, seconds):
    found = price(name, "a100").seconds
    assert found == (seconds if seconds is None else pytest.approx(seconds))


def test_gathers_are_told_apart():
    assert price("rows", "v5e").gathers == price("rows", "v5e").seconds
    assert price("rows", "a100").gathers == pytest.approx(400 * 32 * 32 / 2.039e12)
    assert price("kernel", "a100").gathers == pytest.approx(8e6 / 2.039e12)
    assert price("stated", "v5e").gathers == 0.0


def test_a_cpu_has_bytes_and_no_time():
    found = price("dot", "cpu")
    assert (found.seconds, found.moved, found.products) == (None, 2 * MATRIX, {"f32": 2 * 1024**3})
