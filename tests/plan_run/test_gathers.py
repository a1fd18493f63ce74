"""What gathers and scatters touch and cost, by small programs: rows of 32 float32 numbers of a table of 1,000."""

import pytest

from dima_jax.plan_run import gathers, hlo
from dima_jax.plan_run.devices import SPECS

ROWS, SPEC = 400, SPECS["v5e"]
LANES_ALONG_COLUMNS, TRANSPOSED = "{1,0:T(8,128)}", "{0,1:T(8,128)}"
GATHER = """
ENTRY %main (t: f32[1000,32], i: s32[400,1]) -> f32[400,32] {
  %t = f32[1000,32]LAYOUT parameter(0)
  %i = s32[400,1]{1,0} parameter(1)
  ROOT %g = f32[400,32]{1,0} gather(%t, %i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,32}
}
"""
SCATTER = """
ENTRY %main (t: f32[1000,32], i: s32[400,1], u: f32[400,32]) -> f32[1000,32] {
  %t = f32[1000,32]LAYOUT parameter(0)
  %i = s32[400,1]{1,0} parameter(1)
  %u = f32[400,32]{1,0} parameter(2)
  ROOT %s = f32[1000,32]LAYOUT scatter(%t, %i, %u), update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=%add
}
"""
FUSED = """
%fused (t: f32[1000,32], i: s32[400,1]) -> f32[400,32] {
  %t = f32[1000,32]LAYOUT parameter(0)
  %i = s32[400,1]{1,0} parameter(1)
  %g = f32[400,32]{1,0} gather(%t, %i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,32}
  ROOT %n = f32[400,32]{1,0} negate(%g)
}

ENTRY %main (a: f32[1000,32], c: s32[400,1]) -> f32[400,32] {
  %a = f32[1000,32]LAYOUT parameter(0)
  %c = s32[400,1]{1,0} parameter(1)
  ROOT %f = f32[400,32]{1,0} fusion(%a, %c), kind=kCustom, calls=%fused, backend_config={"used_scoped_memory_configs":[{"memory_space":"1","offset":"0","size":"SCRATCH"}]}
}
"""


def windows(text, layout, scratch=0):
    computations, entry = hlo.parse(text.replace("LAYOUT", layout).replace("SCRATCH", str(scratch)))
    table = {i.name: i for i in computations[entry]}
    (found,) = gathers.find(computations[entry][-1], table, computations)
    return found


def test_a_table_in_vmem_costs_bundles_a_row():
    found = windows(GATHER, "{1,0:T(8,128)S(1)}")
    assert (found.window, found.count, found.is_held) == ((1, 32), ROWS, True)
    assert gathers.tpu_bytes(found) == 0.0
    assert gathers.tpu_seconds(found, SPEC) == pytest.approx(ROWS * 4.35 / 1.5e9)
    assert gathers.tpu_seconds(windows(SCATTER, "{1,0:T(8,128)S(1)}"), SPEC) == pytest.approx(ROWS * 7.6 / 1.5e9)


def test_a_row_along_the_lanes_in_hbm_is_512_bytes():
    found = windows(GATHER, LANES_ALONG_COLUMNS)
    assert gathers.tpu_bytes(found) == ROWS * 512
    assert gathers.tpu_seconds(found, SPEC) == pytest.approx(ROWS * 4.35 / 1.5e9)  # longer than 512 bytes take


def test_a_row_across_the_lanes_in_hbm_touches_16_kilobytes():
    """32 rows of 128 lanes, in four tiles: 128 times what is wanted."""
    found = windows(GATHER, TRANSPOSED)
    assert gathers.tpu_bytes(found) == ROWS * 16384
    assert gathers.tpu_seconds(found, SPEC) == pytest.approx(ROWS * 16384 / 0.819e12)


def test_narrow_numbers_share_rows_of_lanes():
    packed = windows(GATHER.replace("f32[1000,32]", "bf16[1000,32]"), "{0,1:T(8,128)(2,1)}")
    assert gathers.tpu_bytes(packed) == ROWS * 8192
    wide = packed._replace(table=hlo.Array("f32", (1000, 300), LANES_ALONG_COLUMNS), window=(1, 300))
    assert gathers.lane_rows(wide) == 3


def test_a_scatter_reads_and_writes():
    found = windows(SCATTER, TRANSPOSED)
    assert (found.opcode, found.window, found.count) == ("scatter", (1, 32), ROWS)
    assert gathers.tpu_bytes(found) == 2 * ROWS * 16384
    assert gathers.sector_bytes(windows(SCATTER, "{1,0}")) == 2 * ROWS * 128


@pytest.mark.parametrize(("scratch", "is_held"), [(0, False), (1000 * 128 * 4 - 1, False), (1000 * 128 * 4, True)])
def test_a_fusion_holds_the_table_where_the_compiler_sets_that_much_vmem_aside(scratch, is_held):
    """The table takes 512 bytes a row: its 32 columns are padded to the 128 lanes of a tile."""
    assert windows(FUSED, LANES_ALONG_COLUMNS, scratch).is_held == is_held


def test_a_gpu_reads_whole_sectors():
    assert gathers.sector_bytes(windows(GATHER, "{1,0}")) == ROWS * 128
    assert gathers.sector_bytes(windows(GATHER, "{0,1}")) == ROWS * 32 * 32  # a sector for every number
    narrow = windows(GATHER, "{1,0}")._replace(window=(1, 3))
    assert gathers.sector_bytes(narrow) == ROWS * 32
