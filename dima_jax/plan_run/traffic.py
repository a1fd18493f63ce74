"""Bytes that an instruction reads and writes, gathered and scattered rows left out (`gathers.py`).

A fusion is one kernel: what it makes inside stays in registers. What it only slices is read in part, and what it updates
in place is written in part.
"""

from dima_jax.plan_run.hlo import Array, Computations, Instruction, called

ALIASES = ("bitcast", "get-tuple-element")


def moved_bytes(instruction: Instruction, table: dict[str, Instruction], computations: Computations) -> float:
    """table: the instructions beside it, by name."""
    operands = [table[name] for name in dict.fromkeys(instruction.operands) if name in table]
    if instruction.opcode.endswith("-start"):  # of an asynchronous copy: its result holds operand and destination
        return 2.0 * sum(operand.bytes for operand in operands)
    if instruction.opcode != "fusion":
        users = {operand.name: [instruction] for operand in operands}
        read = sum(_read(operand.name, operand.bytes, users) for operand in operands)
        return read + _written(instruction, instruction.arrays, table)
    inside = computations[called(instruction)[0]]
    names = {i.name: i for i in inside}
    users = {}
    for user in inside:
        for name in user.operands:
            users.setdefault(name, []).append(user)
    read = sum(_read(i.name, i.bytes, users) for i in inside if i.opcode == "parameter")
    return read + _written(inside[-1], instruction.arrays, names)


def _read(name: str, whole: float, users: dict[str, list[Instruction]]) -> float:
    """Bytes that are read of `name`, at most all of it."""
    total = 0.0
    for user in users.get(name, ()):
        if user.opcode in ALIASES:
            total += _read(user.name, whole, users)
        elif user.opcode in ("dynamic-slice", "slice") and user.operands[0] == name:
            total += user.bytes
        elif user.opcode not in ("gather", "scatter", "dynamic-update-slice") or user.operands[0] != name:
            return whole
    return min(total, whole)


def _written(root: Instruction, arrays: list[Array], table: dict[str, Instruction]) -> float:
    """Bytes that are written for the results `arrays`, which `root` makes."""
    if root.opcode == "tuple":
        parts = [table[name] for name in root.operands if name in table]
        return sum(_written(part, part.arrays, table) for part in parts)
    if root.opcode in ALIASES and root.operands and root.operands[0] in table:
        return _written(table[root.operands[0]], arrays, table)
    if root.opcode == "scatter":
        return 0.0
    if root.opcode == "dynamic-update-slice" and root.operands[1] in table:
        return table[root.operands[1]].bytes
    return sum(array.bytes for array in arrays)
