"""Which part of the model an instruction belongs to, by the `jax.named_scope`s in its `op_name`."""

from collections import Counter

from dima_jax.plan_run.hlo import Computations, Instruction, called

PARTS = {  # scope: how the report calls it
    "image_encoder": "image backbone",
    "bev_encoder": "BEV encoder",
    "heads": "heads",
    "llm": "LLM",
    "teacher": "adapter and teacher heads",
    "losses": "losses",
    "optimizer": "optimizer",
}
COLLECTIVES, OTHER = "collectives", "other"
NEAR = 3  # steps back to what an instruction without a name reads: XLA's CPU compiler drops those of weight gradients
ORDER = (*PARTS.values(), COLLECTIVES, OTHER)


def of_name(op_name: str) -> str | None:
    """The part that the innermost scope names; backward, a scope stands in "transpose(jvp(scope))"."""
    for step in reversed(op_name.split("/")):
        if (scope := step.rstrip(")").rsplit("(", 1)[-1]) in PARTS:
            return PARTS[scope]
    return None


def of_instruction(
    instruction: Instruction, table: dict[str, Instruction], computations: Computations, caller: str
) -> str:
    """By its own name, else by most of what it fuses, else as the nearest of what it reads, else the part `caller` of
    what calls it. table: the instructions beside it, by name.
    """
    near = [instruction]
    for _ in range(NEAR + 1):
        if part := next(filter(None, (_own(i, computations) for i in near)), None):
            return part
        near = [table[name] for i in near for name in i.operands if name in table]
    return caller


def _own(instruction: Instruction, computations: Computations) -> str | None:
    part = of_name(instruction.op_name)
    if part or instruction.opcode != "fusion":
        return part
    inside = Counter(filter(None, (of_name(i.op_name) for i in computations[called(instruction)[0]])))
    return inside.most_common(1)[0][0] if inside else None
