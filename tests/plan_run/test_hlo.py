"""HLO text, parsed: layouts, memory spaces, trip counts."""

import pytest

from dima_jax.plan_run import hlo

TEXT = """
HloModule m, is_scheduled=true

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[4]{0} get-tuple-element(%p), index=1
  %by = s32[] constant(2)
  %next = s32[] add(%i, %by)
  ROOT %t = (s32[], f32[4]{0}) tuple(%next, %x)
}

%end (q: (s32[], f32[4])) -> pred[] {
  %q = (s32[], f32[4]{0}) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %n = s32[] constant(7)
  ROOT %less = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (z: (s32[], f32[4]), t: bf16[6,16,32]) -> (s32[], f32[4]) {
  %z = (s32[], f32[4]{0}) parameter(0)
  %t = bf16[6,16,32]{1,2,0:T(8,128)(2,1)S(1)} parameter(1)
  ROOT %loop = (s32[], f32[4]{0}) while(%z), condition=%end, body=%body, metadata={op_name="jit(f)/while"}LOOP
}
"""


def instructions(text):
    computations, entry = hlo.parse(text)
    return computations, {i.name: i for i in computations[entry]}


def test_arrays_have_layouts_and_memory_spaces():
    _, found = instructions(TEXT.replace("LOOP", ""))
    (table,) = found["t"].arrays
    assert (table.dtype, table.sizes, table.order, table.space) == ("bf16", (6, 16, 32), (1, 2, 0), hlo.VMEM)
    assert table.bytes == 6 * 16 * 32 * 2
    counter, vector = found["z"].arrays
    assert (counter.sizes, counter.space, vector.order, vector.bytes) == ((), 0, (0,), 16)
    assert hlo.Array("f32", (2, 3)).order == (1, 0)  # as written: the last dimension varies fastest


@pytest.mark.parametrize(("stated", "runs"), [("", 4), (', backend_config={"known_trip_count":{"n":"9"}}', 9)])
def test_trip_counts_are_stated_or_compared_with(stated, runs):
    """The counter grows by 2 from 0 while it is less than 7."""
    computations, found = instructions(TEXT.replace("LOOP", stated))
    condition, body = hlo.loop(found["loop"])
    assert hlo.trip_count(found["loop"], computations[condition], computations[body]) == runs
    assert found["loop"].op_name == "jit(f)/while" and found["loop"].operands == ["z"]
