"""What a program's text does not tell of its work, written where a plan of a run finds it: in the names of the program.

    with expected_work.turns(5):  # of a loop whose length depends on data
        jax.lax.fori_loop(0, tiles, add, total)
    with expected_work.row_bytes(10**9):  # which a kernel reads of a table, or adds to it, row by row
        pl.pallas_call(...)

Nothing else reads it (`plan_run/hlo.py`, `plan_run/pricing.py`).
"""

import re

import jax

PAIRS_PER_QUERY = 1.2  # of a BEV query and a camera that sees its pillar, in nuScenes' rig


def cameras_per_query(cameras: int) -> float:
    """That see a query; of one "camera", which is a whole BEV, every query sees all."""
    return PAIRS_PER_QUERY if cameras > 1 else 1.0


def turns(number: int):
    """A scope for one loop."""
    return jax.named_scope(f"expect_{number}_turns")


def turns_of(op_name: str) -> int | None:
    """What was written for the loop of this name, which a gradient may wrap; None where nothing was."""
    found = re.search(r"expect_(\d+)_turns\)*/while$", op_name)
    return int(found[1]) if found else None


def row_bytes(number: int):
    """A scope for one kernel."""
    return jax.named_scope(f"expect_{number}_row_bytes")


def row_bytes_of(op_name: str) -> int:
    """What was written for the kernel of this name; 0 where nothing was."""
    found = re.search(r"expect_(\d+)_row_bytes\)*/pallas_call$", op_name)
    return int(found[1]) if found else 0
