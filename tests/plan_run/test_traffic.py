"""Bytes that kernels read and write: slices and updates in place in part, gathered tables not at all."""

import pytest

from dima_jax.plan_run import hlo, traffic

FUSION = """
%fused (p: f32[1000,64], q: f32[64], i: s32[]) -> f32[1000,64] {
  %p = f32[1000,64]{1,0} parameter(0)
  %q = f32[64]{0} parameter(1)
  %i = s32[] parameter(2)
  %zero = s32[] constant(0)
BODY
}

ENTRY %main (a: f32[1000,64], b: f32[64], n: s32[]) -> RESULT {
  %a = f32[1000,64]{1,0} parameter(0)
  %b = f32[64]{0} parameter(1)
  %n = s32[] parameter(2)
  ROOT %f = RESULT fusion(%a, %b, %n), kind=kLoop, calls=%fused
}
"""
TABLE, ROW = 1000 * 64 * 4, 64 * 4


@pytest.mark.parametrize(
    ("body", "result", "expected"),
    [
        ("  ROOT %r = f32[1000,64]{1,0} add(%p, %p)", "f32[1000,64]{1,0}", 2 * TABLE),
        (
            "  %s = f32[1,64]{1,0} dynamic-slice(%p, %i, %zero), dynamic_slice_sizes={1,64}\n"
            "  %t = f32[64]{0} bitcast(%s)\n  ROOT %r = f32[64]{0} add(%t, %q)",
            "f32[64]{0}",
            3 * ROW + 4,
        ),
        (
            "  %u = f32[1,64]{1,0} bitcast(%q)\n  ROOT %r = f32[1000,64]{1,0} dynamic-update-slice(%p, %u, %i, %zero)",
            "f32[1000,64]{1,0}",
            2 * ROW + 4,
        ),
        (
            "  %g = f32[1,64]{1,0} gather(%p, %i), offset_dims={1}, collapsed_slice_dims={0}, slice_sizes={1,64}\n"
            "  %t = f32[64]{0} bitcast(%g)\n  ROOT %r = f32[64]{0} add(%t, %q)",
            "f32[64]{0}",
            2 * ROW + 4,
        ),
    ],
    ids=["whole", "slice", "update", "gather"],
)
def test_a_fusion_is_one_kernel(body, result, expected):
    computations, entry = hlo.parse(FUSION.replace("BODY", body).replace("RESULT", result))
    table = {i.name: i for i in computations[entry]}
    assert traffic.moved_bytes(table["f"], table, computations) == expected


def test_an_asynchronous_copy_reads_and_writes_once():
    text = """
ENTRY %main (a: f32[100]) -> f32[100] {
  %a = f32[100]{0} parameter(0)
  %s = (f32[100]{0:S(1)}, f32[100]{0}, u32[]{:S(2)}) copy-start(%a)
  ROOT %d = f32[100]{0:S(1)} copy-done(%s)
}
"""
    computations, entry = hlo.parse(text)
    table = {i.name: i for i in computations[entry]}
    assert traffic.moved_bytes(table["s"], table, computations) == 800
