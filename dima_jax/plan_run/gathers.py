"""Gathers and scatters of a compiled program: how many windows of a table they touch, and what that costs.

On a TPU a window is cheap where the table is held in VMEM, and expensive in HBM, where it is copied by a DMA of whole
tiles' rows: a window of 32 float32 numbers of a table whose columns lie along the lanes touches 512 bytes, of a transposed
table 16 KB. A GPU reads sectors of 32 bytes.
"""

import math
import re
from typing import NamedTuple

from dima_jax.plan_run.devices import DeviceSpec
from dima_jax.plan_run.hlo import VMEM, Array, Computations, Instruction, attribute, called, numbers

LANES = 128
LANE_ROW = 512  # bytes of one row of 128 lanes
# Instruction bundles, one a cycle, to gather one row of 128 lanes from VMEM, and to add one to it: counted in the compiler's
# dump of instruction bundles (libtpu 0.0.42.1, tables of 32-wide rows): 2.9 to 5.8 and 6.4 to 8.8, of which the middle.
BUNDLES = {"gather": 4.35, "scatter": 7.6}
SECTOR = 32  # bytes that an NVIDIA GPU reads at least
PASSES = {"gather": 1, "scatter": 2}  # over the touched memory: a scatter reads it and writes it


class Windows(NamedTuple):
    """What one gather or scatter touches. table: laid out as it is read; window: sizes along the table's dimensions;
    count: of windows; is_held: whether the table is in VMEM.
    """

    opcode: str
    table: Array
    window: tuple[int, ...]
    count: int
    is_held: bool


def find(instruction: Instruction, table: dict[str, Instruction], computations: Computations) -> list[Windows]:
    """Of a gather, a scatter, or a fusion that contains some. table: the instructions beside it, by name."""
    if instruction.opcode == "fusion":
        inside = computations[called(instruction)[0]]
        names = {i.name: i for i in inside}
        found = [windows for i in inside for windows in find(i, names, computations)]
        scratch = scoped_vmem(instruction)
        return [w._replace(is_held=w.is_held or padded_bytes(w.table) <= scratch) for w in found]
    if instruction.opcode not in BUNDLES:
        return []
    operands = [table[name] for name in instruction.operands]
    source = operands[0].arrays[0]
    if instruction.opcode == "gather":
        window = attribute(instruction, "slice_sizes")
        moved = instruction.arrays[0]
    else:
        moved = operands[(len(operands) + 1) // 2].arrays[0]  # after as many tables and the indices: the updates
        sizes = iter(moved.sizes[d] for d in attribute(instruction, "update_window_dims"))
        single = attribute(instruction, "inserted_window_dims") + attribute(instruction, "input_batching_dims")
        window = tuple(1 if d in single else next(sizes) for d in range(len(source.sizes)))
    count = math.prod(moved.sizes) // max(math.prod(window), 1)
    return [Windows(instruction.opcode, source, window, count, source.space == VMEM)]


def scoped_vmem(instruction: Instruction) -> int:
    """Bytes of VMEM that the TPU compiler sets aside for an instruction."""
    found = re.search(r'"used_scoped_memory_configs":\[([^\]]*)\]', instruction.rest)
    entries = re.findall(r'"memory_space":"(\d+)"[^}]*"size":"(\d+)"', found[1]) if found else []
    return sum(int(size) for space, size in entries if int(space) == VMEM)


def padded_bytes(array: Array) -> float:
    """Bytes that an array takes in its tiles, T(8,128) for example."""
    tile = re.search(r"T\(([\d,]+)\)", array.layout)
    sizes = [array.sizes[d] for d in array.order]
    for i, unit in enumerate(reversed(numbers(tile[1])) if tile else ()):
        if i < len(sizes):
            sizes[i] = -(-sizes[i] // unit) * unit
    return float(math.prod(sizes) * array.itemsize)


def lane_rows(windows: Windows) -> int:
    """Rows of 128 lanes that one window touches; narrower numbers than 4 bytes share a row with their neighbors above."""
    minor, second, *others = [*(windows.window[d] for d in windows.table.order), 1, 1]
    packed = max(1, 4 // windows.table.itemsize)
    return -(-minor // LANES) * -(-second // packed) * math.prod(others)


def tpu_bytes(windows: Windows) -> float:
    """Bytes of HBM that the windows touch; 0 for a table in VMEM."""
    if windows.is_held:
        return 0.0
    return float(PASSES[windows.opcode] * windows.count * lane_rows(windows) * LANE_ROW)


def tpu_seconds(windows: Windows, spec: DeviceSpec) -> float:
    """In VMEM by the bundles, in HBM by the bytes, where a window takes at least the bundles of one row."""
    bundles = windows.count * BUNDLES[windows.opcode]
    if windows.is_held:
        return bundles * lane_rows(windows) / spec.clock
    return max(bundles / spec.clock, tpu_bytes(windows) / spec.bandwidth)


def sector_bytes(windows: Windows) -> float:
    """Bytes that the windows touch in whole sectors of a GPU's memory, as if none was found in a cache."""
    run = 1
    for d in windows.table.order:
        run *= windows.window[d]
        if windows.window[d] != windows.table.sizes[d]:
            break
    runs = windows.count * math.prod(windows.window) // max(run, 1)
    sectors = -(-run * windows.table.itemsize // SECTOR)
    return float(PASSES[windows.opcode] * runs * sectors * SECTOR)
