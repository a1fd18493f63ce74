"""How often a loop turns whose length depends on data, written where a plan of a run finds it: in the names of a program.

    with expected_turns.named(5):
        jax.lax.fori_loop(0, tiles, add, total)

Nothing else reads it (`plan_run/hlo.py`).
"""

import re

import jax

PAIRS_PER_QUERY = 1.2  # of a BEV query and a camera that sees its pillar, in nuScenes' rig


def named(turns: int):
    """A scope for one loop."""
    return jax.named_scope(f"expect_{turns}_turns")


def of_loop(op_name: str) -> int | None:
    """What was written for the loop of this name; None where nothing was."""
    found = re.search(r"expect_(\d+)_turns/while$", op_name)
    return int(found[1]) if found else None
