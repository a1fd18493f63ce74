"""The time of one instruction on a device, where it can be known.

TPU: the cycles that the compiler states, and for gathers and scatters, for which it states none, what `gathers.py` says.
GPU: a roofline, the larger of its arithmetic at the peak of its number format and its bytes at the memory's bandwidth;
kernels reach less, and starting one takes microseconds, so this is the least. Rows that a kernel of our own touches count like
gathered ones (`expected_work`). What none of that covers is unknown.
"""

import re
from typing import NamedTuple

import numpy as np

from dima_jax import expected_work
from dima_jax.plan_run import collectives, gathers, products, traffic
from dima_jax.plan_run.devices import SPECS, platform
from dima_jax.plan_run.hlo import Computations, Instruction, called

NO_WORK = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"),
    *("while", "conditional", "call", "async-start", "opt-barrier", "domain", "add-dependency"),
}
NO_WORK_CALLS = ("AllocateBuffer", "ConcatBitcast")
LIBRARIES = ("__cublas$gemm", "__cublas$lt$matmul", "__cudnn$conv")  # whose products are counted
NEGLIGIBLE = 4096  # bytes: of counters and comparisons of loops, which take tens of cycles and have no estimate


class Price(NamedTuple):
    """seconds: None where it is unknown. gathers: seconds of gathers and scatters among them. moved: bytes, those of
    gathers included. products: FLOPs by number format.
    """

    seconds: float | None
    gathers: float
    moved: float
    gathered: float
    products: dict[str, float]


FREE = Price(0.0, 0.0, 0.0, 0.0, {})


def price(
    instruction: Instruction, table: dict[str, Instruction], computations: Computations, devices: int, kind: str
) -> Price:
    """Of one run, without what a loop, a conditional or a call runs. table: the instructions beside it, by name;
    devices: how many run the program; kind: of device (`devices.TARGETS`); a CPU's time is not known.
    """
    if instruction.opcode in NO_WORK or instruction.opcode.endswith("-done") or instruction.target in NO_WORK_CALLS:
        return FREE
    where, spec = platform(kind), SPECS.get(kind)
    windows = gathers.find(instruction, table, computations)
    touched = gathers.tpu_bytes if where == "tpu" else gathers.sector_bytes
    row_bytes = expected_work.row_bytes_of(instruction.op_name)
    gathered = sum(touched(w) for w in windows) + row_bytes
    made = fused_products(instruction, table, computations, where)
    moved = traffic.moved_bytes(instruction, table, computations) + gathered
    known = Price(None, 0.0, moved, gathered, made)
    if spec is None:
        return known
    if where == "tpu":
        estimate = cycles(instruction, computations)
        if windows:
            seconds = sum(gathers.tpu_seconds(w, spec) for w in windows)
            return known._replace(seconds=max(seconds, (estimate or 0.0) / spec.clock), gathers=seconds)
        if estimate:
            return known._replace(seconds=estimate / spec.clock)
    if collectives.is_collective(instruction):
        sent = collectives.sent_bytes(instruction, table, devices)
        return known._replace(seconds=sum(sent.values()) / spec.link)
    if where == "tpu":
        is_negligible = estimate == 0.0 and moved <= NEGLIGIBLE and not instruction.target
        return known._replace(seconds=0.0 if is_negligible else None)
    is_known_call = instruction.target.startswith(LIBRARIES) or row_bytes > 0
    is_unknown_call = instruction.opcode == "custom-call" and not is_known_call
    if is_unknown_call or not made.keys() <= spec.peaks.keys():
        return known
    arithmetic = sum(flops / spec.peaks[name] for name, flops in made.items())
    return known._replace(seconds=max(arithmetic, moved / spec.bandwidth), gathers=gathered / spec.bandwidth)


def fused_products(
    instruction: Instruction, table: dict[str, Instruction], computations: Computations, where: str
) -> dict[str, float]:
    """{number format: FLOPs} of a product, or of all that a fusion contains. where: a platform."""
    if instruction.opcode == "fusion":
        inside = computations[called(instruction)[0]]
        names, total = {i.name: i for i in inside}, {}
        for i in inside:
            for name, flops in fused_products(i, names, computations, where).items():
                total[name] = total.get(name, 0.0) + flops
        return total
    flops = products.flops(instruction, table)
    return {products.number_format(instruction, table, where): flops} if flops else {}


def cycles(instruction: Instruction, computations: Computations) -> float | None:
    """The TPU compiler's estimate for an instruction, else for what it fuses; 0 where there is none, None where it states
    "unknown" (int64's largest number).
    """
    found = re.search(r'"estimated_cycles":"?(\d+)', instruction.rest)
    if found:
        return None if int(found[1]) == np.iinfo(np.int64).max else float(found[1])
    if instruction.opcode != "fusion":
        return 0.0
    return sum(cycles(i, computations) or 0.0 for i in computations[called(instruction)[0]])
