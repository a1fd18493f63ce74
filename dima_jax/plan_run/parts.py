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
ORDER = (*PARTS.values(), COLLECTIVES, OTHER)


def of_name(op_name: str) -> str | None:
    """The part that the innermost scope names; backward, a scope stands in "transpose(jvp(scope))"."""
    for step in reversed(op_name.split("/")):
        if (scope := step.rstrip(")").rsplit("(", 1)[-1]) in PARTS:
            return PARTS[scope]
    return None


def of_instruction(instruction: Instruction, computations: Computations, caller: str) -> str:
    """By its own name, else by most of what it fuses, else the part of what calls it."""
    if part := of_name(instruction.op_name):
        return part
    if instruction.opcode == "fusion":
        inside = Counter(filter(None, (of_name(i.op_name) for i in computations[called(instruction)[0]])))
        if inside:
            return inside.most_common(1)[0][0]
    return caller
