"""What a compiled program costs: FLOPs and traffic between devices, read from its optimized HLO text.

`cost_analysis()` counts the body of a loop once; here every computation counts as often as its callers run it. A loop's
trip count is what the compiler states, else what its condition compares with; a loop whose length depends on data counts
once and is reported. Of a conditional the costliest branch counts. FLOPs are those of matrix products and convolutions,
in the forms in which XLA's CPU, GPU (cuBLAS and cuDNN calls included) and TPU compilers leave them.
"""

import functools
import math
import re
from typing import NamedTuple

import numpy as np

BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "s32": 4, "u32": 4, "f32": 4}
BYTES |= {"s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16, "s4": 1, "u4": 1, "f8e4m3fn": 1, "f8e5m2": 1}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "ragged-all-to-all")
SCALAR_CALLERS = (  # they call a computation per element (an addition, a comparison), which has no FLOPs here
    "reduce",
    "sort",
    "scatter",
    "map",
    "reduce-window",
    "select-and-scatter",
)
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\]")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"([a-z][\w\-]*)\(")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Instruction(NamedTuple):
    """One line of HLO. shapes: (dtype, sizes) of each array of the result; literal: the text between the brackets, which
    names the operands; rest: everything after them.
    """

    name: str
    opcode: str
    shapes: list[tuple[str, tuple[int, ...]]]
    literal: str
    rest: str

    @property
    def operands(self) -> list[str]:
        return re.findall(r"%([\w.\-]+)", self.literal)


class Cost(NamedTuple):
    """Of one device. flops: 2 per multiply-add; sent: {collective: bytes sent over a ring}; collectives: calls;
    cycles: the compiler's own estimate (TPU), 0 where it gives none; unbounded_loops: loops whose length depends on data,
    counted once; unknown_cycles: instructions, each counted once, whose cycles the compiler states as unknown.
    """

    flops: float
    sent: dict[str, float]
    collectives: float
    cycles: float
    unbounded_loops: int
    unknown_cycles: int

    def __add__(self, other: "Cost") -> "Cost":
        sent = {key: self.sent.get(key, 0.0) + other.sent.get(key, 0.0) for key in self.sent | other.sent}
        return Cost(
            self.flops + other.flops,
            sent,
            self.collectives + other.collectives,
            self.cycles + other.cycles,
            self.unbounded_loops + other.unbounded_loops,
            self.unknown_cycles + other.unknown_cycles,
        )

    def times(self, n: int) -> "Cost":
        sent = {key: n * value for key, value in self.sent.items()}
        return Cost(
            n * self.flops, sent, n * self.collectives, n * self.cycles, self.unbounded_loops, self.unknown_cycles
        )


ZERO = Cost(0.0, {}, 0.0, 0.0, 0, 0)


def cost(text: str, devices: int) -> Cost:
    """The cost of one run of a module, given as `compiled.as_text()`; devices: how many run it together."""
    computations, entry = parse(text)

    @functools.cache
    def of_computation(name: str) -> Cost:
        table = {instruction.name: instruction for instruction in computations[name]}
        return sum((of_instruction(instruction, table) for instruction in computations[name]), ZERO)

    def of_instruction(instruction: Instruction, table: dict[str, Instruction]) -> Cost:
        estimate = cycles(instruction)
        own = Cost(
            flops=flops(instruction, table),
            sent=sent_bytes(instruction, table, devices),
            collectives=float(is_collective(instruction)),
            cycles=estimate or 0.0,
            unbounded_loops=0,
            unknown_cycles=int(estimate is None),
        )
        if instruction.opcode == "while":
            condition, body = (re.search(rf"{key}=%?([\w.\-]+)", instruction.rest)[1] for key in ("condition", "body"))
            count = trip_count(instruction, computations[condition], computations[body])
            own = own._replace(unbounded_loops=own.unbounded_loops + (count is None))
            return own + of_computation(body).times(1 if count is None else count)
        if instruction.opcode == "conditional":
            return own + max((of_computation(name) for name in called(instruction)), key=lambda c: (c.flops, c.cycles))
        if is_collective(instruction) or instruction.opcode in SCALAR_CALLERS:
            return own
        inside = sum((of_computation(name) for name in called(instruction)), ZERO)
        if own.cycles:  # a fusion's estimate covers what it fuses
            inside = inside._replace(cycles=0.0)
        return own + inside

    return of_computation(entry)


def parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """({computation: its instructions}, name of the entry)."""
    computations, current, entry = {}, None, ""
    for line in text.splitlines():
        if current is None:
            head = re.match(r"^(ENTRY )?%?([\w.\-]+) \(?.*\{\s*$", line)
            if head and not line.startswith("HloModule"):
                current = computations.setdefault(head[2], [])
                entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif found := _INSTRUCTION.match(line):
            current.append(_instruction(*found.groups()))
    return computations, entry


def _instruction(name: str, text: str) -> Instruction:
    """From "f32[2,3]{1,0} dot(%a, %b), lhs_contracting_dims={1}, ..."; a tuple's type starts with a bracket."""
    start = _closing(text, 0) + 1 if text.startswith("(") else 0
    opcode = _OPCODE.search(text, start)
    end = _closing(text, opcode.end() - 1)
    shapes = [(kind, _sizes(sizes)) for kind, sizes in _ARRAY.findall(text[: opcode.start()])]
    return Instruction(name, opcode[1], shapes, text[opcode.end() : end], text[end + 1 :])


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return len(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size.lstrip("<=")) for size in text.split(",") if size)


def called(instruction: Instruction) -> list[str]:
    names = _CALLED.findall(instruction.rest)
    if branches := _BRANCHES.search(instruction.rest):
        names += [name.strip().lstrip("%") for name in branches[1].split(",")]
    return names


def trip_count(loop: Instruction, condition: list[Instruction], body: list[Instruction]) -> int | None:
    """How often a loop runs its body; None where it depends on data."""
    if known := re.search(r'"known_trip_count":\{"n":"?(\d+)', loop.rest):
        return int(known[1])
    limits = [i for i in condition if _is_count(i)]
    if len(limits) == 1 and len(condition) <= 6:  # counter < constant
        return math.ceil(int(limits[0].literal) / _stride(condition, body))
    return None


def _stride(condition: list[Instruction], body: list[Instruction]) -> int:
    """By how much the counter of a loop grows: the TPU compiler unrolls its windowed products by two."""
    indices = [int(i.rest.split("index=")[1].split(",")[0]) for i in condition if i.opcode == "get-tuple-element"]
    table = {i.name: i for i in body}
    if len(indices) != 1 or body[-1].opcode != "tuple":
        return 1
    counter = table[body[-1].operands[indices[0]]]
    strides = [int(table[x].literal) for x in counter.operands if x in table and _is_count(table[x])]
    return strides[0] if counter.opcode == "add" and strides else 1


def _is_count(instruction: Instruction) -> bool:
    return instruction.opcode == "constant" and re.fullmatch(r"[1-9]\d*", instruction.literal) is not None


def flops(instruction: Instruction, table: dict[str, Instruction]) -> float:
    """2 per multiply-add of a product or a convolution; 0 for all else."""
    shapes = [table[name].shapes[0][1] for name in instruction.operands if name in table and table[name].shapes]
    if instruction.opcode == "dot":
        contracted = _numbers(instruction.rest, r"lhs_contracting_dims=\{([\d,]*)\}")
        return 2.0 * math.prod(instruction.shapes[0][1]) * math.prod(shapes[0][i] for i in contracted)
    if instruction.opcode == "convolution":
        return convolution(instruction.rest, shapes[0], shapes[1], instruction.shapes[0][1])
    if instruction.opcode == "custom-call" and (target := re.search(r'custom_call_target="([^"]+)"', instruction.rest)):
        result = instruction.shapes[0][1]
        if target[1].startswith("__cublas"):
            contracted = _numbers(instruction.rest, r'"lhs_contracting_dimensions":\[([\d",]*)\]')
            return 2.0 * math.prod(result) * math.prod(shapes[0][i] for i in contracted)
        if target[1] == "__cudnn$convBackwardInput":
            return convolution(instruction.rest, result, shapes[1], shapes[0])
        if target[1] == "__cudnn$convBackwardFilter":
            return convolution(instruction.rest, shapes[0], result, shapes[1])
        if target[1].startswith("__cudnn$conv"):
            return convolution(instruction.rest, shapes[0], shapes[1], result)
    return 0.0


def _numbers(text: str, pattern: str) -> list[int]:
    found = re.search(pattern, text)
    return [int(n) for n in found[1].replace('"', "").split(",") if n] if found else []


def convolution(rest: str, image, kernel, result) -> float:
    """Multiply-adds that meet real pixels, times 2. image, kernel, result: shapes in the roles of `dim_labels`."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", rest)
    window = dict(re.findall(r"(\w+)=([\w\-]+)", (re.search(r"window=\{([^}]*)\}", rest) or [None, ""])[1]))
    spatial = sorted(c for c in labels[1] if c.isdigit())
    work = 2.0 * result[labels[3].index("b")] * result[labels[3].index("f")] * kernel[labels[2].index("i")]

    def each(key, default):
        return window[key].split("x") if key in window else [default] * len(spatial)

    options = zip(
        each("stride", "1"), each("pad", "0_0"), each("lhs_dilate", "1"), each("rhs_dilate", "1"), strict=True
    )
    for axis, (stride, pad, image_dilation, kernel_dilation) in zip(spatial, options, strict=True):
        sizes = image[labels[1].index(axis)], kernel[labels[2].index(axis)], result[labels[3].index(axis)]
        work *= taps(*sizes, int(stride), int(pad.split("_")[0]), int(image_dilation), int(kernel_dilation))
    groups = re.search(r"batch_group_count=(\d+)", rest)
    return work / (int(groups[1]) if groups else 1)


@functools.cache
def taps(image: int, kernel: int, result: int, stride: int, pad: int, image_dilation: int, kernel_dilation: int) -> int:
    """Pairs of output and kernel positions that meet a pixel along one axis; all sizes are along this axis."""
    pixel = np.arange(result)[:, None] * stride + np.arange(kernel)[None, :] * kernel_dilation - pad
    return int(((pixel >= 0) & (pixel <= (image - 1) * image_dilation) & (pixel % image_dilation == 0)).sum())


def is_collective(instruction: Instruction) -> bool:
    return instruction.opcode.removesuffix("-start") in COLLECTIVES


def sent_bytes(instruction: Instruction, table: dict[str, Instruction], devices: int) -> dict[str, float]:
    """{collective: bytes that each device sends} over a ring of its group; {} for any other instruction."""
    if not is_collective(instruction):
        return {}
    kind = instruction.opcode.removesuffix("-start")
    operands = [shape for name in instruction.operands if name in table for shape in table[name].shapes]
    size = sum(BYTES.get(dtype, 4) * math.prod(sizes) for dtype, sizes in operands)
    n = group_size(instruction.rest, devices)
    share = (n - 1) / n
    copies = {"all-gather": n - 1.0, "all-reduce": 2 * share, "collective-permute": 1.0}.get(kind, share)
    return {kind: size * copies}


def group_size(rest: str, devices: int) -> int:
    """How many devices take part together, in each notation of XLA (tests/plan_run/test_hlo_cost.py lists them).

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


def cycles(instruction: Instruction) -> float | None:
    """The TPU compiler's estimate for an instruction; 0 where there is none, None where it states "unknown" (int64's max)."""
    found = re.search(r'"estimated_cycles":"?(\d+)', instruction.rest)
    if found and int(found[1]) == np.iinfo(np.int64).max:
        return None
    return float(found[1]) if found else 0.0
