"""Optimized HLO as text (`compiled.as_text()`), parsed: computations, instructions, arrays and their layouts, loops."""

import math
import re
from typing import NamedTuple

from dima_jax import expected_work

BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "s32": 4, "u32": 4, "f32": 4}
BYTES |= {"s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16, "s4": 1, "u4": 1, "f8e4m3fn": 1, "f8e5m2": 1, "token": 0}
VMEM = 1  # XLA's number of a TPU core's vector memory; 0 is HBM
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\](\{[^{}]*\})?")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"([a-z][\w\-]*)\(")
_BRACKET = re.compile(r"[()]")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Array(NamedTuple):
    """dtype as XLA names it; layout: "{1,0:T(8,128)S(1)}", "" where none is written."""

    dtype: str
    sizes: tuple[int, ...]
    layout: str = ""

    @property
    def bytes(self) -> float:
        return float(BYTES.get(self.dtype, 4) * math.prod(self.sizes))

    @property
    def itemsize(self) -> int:
        return BYTES.get(self.dtype, 4)

    @property
    def order(self) -> tuple[int, ...]:
        """Dimensions, the one whose neighbors lie next to each other first."""
        written = re.match(r"\{([\d,]+)", self.layout)
        return numbers(written[1]) if written else tuple(reversed(range(len(self.sizes))))

    @property
    def space(self) -> int:
        """The number of the memory that holds it: 0, or VMEM."""
        written = re.search(r"S\((\d+)\)", self.layout)
        return int(written[1]) if written else 0


class Instruction(NamedTuple):
    """One line of HLO. arrays: of the result; literal: the text between the brackets, which names the operands; rest:
    everything after them.
    """

    name: str
    opcode: str
    arrays: list[Array]
    literal: str
    rest: str

    @property
    def operands(self) -> list[str]:
        return re.findall(r"%([\w.\-]+)", self.literal)

    @property
    def op_name(self) -> str:
        """The path of JAX's names; "" for what the compiler has made."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    @property
    def target(self) -> str:
        """What a custom call calls; "" for any other instruction."""
        found = re.search(r'custom_call_target="([^"]+)"', self.rest)
        return found[1] if found else ""

    @property
    def bytes(self) -> float:
        """Of the result."""
        return sum(array.bytes for array in self.arrays)


Computations = dict[str, list[Instruction]]


def parse(text: str) -> tuple[Computations, str]:
    """({computation: its instructions}, name of the entry). A computation's result is its last instruction: as
    scheduled programs have it."""
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
    arrays = [Array(kind, _sizes(sizes), layout) for kind, sizes, layout in _ARRAY.findall(text[: opcode.start()])]
    return Instruction(name, opcode[1], arrays, text[opcode.end() : end], text[end + 1 :])


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        depth += 1 if bracket[0] == "(" else -1
        if depth == 0:
            return bracket.start()
    return len(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size.lstrip("<=")) for size in text.split(",") if size)


def numbers(text: str) -> tuple[int, ...]:
    """(1, 0) of "1,0"; quotes around numbers are passed over."""
    return tuple(int(n) for n in text.replace('"', "").split(",") if n)


def attribute(instruction: Instruction, name: str) -> tuple[int, ...]:
    """The numbers of `name={1,2}`; () where it is not written."""
    found = re.search(rf"\b{name}=\{{([\d,]*)\}}", instruction.rest)
    return numbers(found[1]) if found else ()


def called(instruction: Instruction) -> list[str]:
    """Names of the computations that an instruction calls."""
    names = _CALLED.findall(instruction.rest)
    if branches := _BRANCHES.search(instruction.rest):
        names += [name.strip().lstrip("%") for name in branches[1].split(",")]
    return names


def loop(instruction: Instruction) -> tuple[str, str]:
    """(condition, body) of a `while`."""
    return tuple(re.search(rf"{key}=%?([\w.\-]+)", instruction.rest)[1] for key in ("condition", "body"))


def trip_count(instruction: Instruction, condition: list[Instruction], body: list[Instruction]) -> int | None:
    """How often a `while` runs its body, or is expected to (`expected_work`); None where it depends on data."""
    if known := re.search(r'"known_trip_count":\{"n":"?(\d+)', instruction.rest):
        return int(known[1])
    limits = [i for i in condition if _is_count(i)]
    if len(limits) == 1 and len(condition) <= 6:  # counter < constant
        return math.ceil(int(limits[0].literal) / _stride(condition, body))
    return expected_work.turns_of(instruction.op_name)


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
    is_constant = instruction.opcode == "constant" and re.fullmatch(r"[1-9]\d*", instruction.literal) is not None
    return is_constant and instruction.arrays[0].dtype[0] in "su"  # an integer
