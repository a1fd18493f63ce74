"""What devices send each other in a compiled program, over a ring."""

import math
import re

from dima_jax.plan_run.hlo import Instruction

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "ragged-all-to-all")


def is_collective(instruction: Instruction) -> bool:
    """Of an asynchronous one, its start."""
    return instruction.opcode.removesuffix("-start") in COLLECTIVES


def sent_bytes(instruction: Instruction, table: dict[str, Instruction], devices: int) -> dict[str, float]:
    """{collective: bytes that each device sends} over a ring of its group; {} for any other instruction."""
    if not is_collective(instruction):
        return {}
    kind = instruction.opcode.removesuffix("-start")
    size = sum(table[name].bytes for name in instruction.operands if name in table)
    n = group_size(instruction.rest, devices)
    share = (n - 1) / n
    copies = {"all-gather": n - 1.0, "all-reduce": 2 * share, "collective-permute": 1.0}.get(kind, share)
    return {kind: size * copies}


def group_size(rest: str, devices: int) -> int:
    """How many devices take part together, in each notation of XLA (tests/plan_run/test_collectives.py lists them).

    devices: all of them. Raises ValueError for another notation: a guess would give a wrong traffic.
    """
    if "replica_groups=" not in rest or "replica_groups={}" in rest:
        return devices
    if iota := re.search(r"replica_groups=\[(\d+),(\d+)\]", rest):
        return int(iota[2])
    if groups := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(groups[1].split(","))
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(.*?\))? \{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
        axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", mesh[2])  # a part of an axis: 'name':(parts before)size
        return math.prod(int(part or sizes[name]) for name, part in axes)
    raise ValueError(f"unknown replica groups: {rest[rest.index('replica_groups=') :][:200]}")
