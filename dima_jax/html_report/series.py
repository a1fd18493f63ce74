"""Who is shown: the rows of the frames file as lines and boxes of one color each."""

from typing import NamedTuple

import numpy as np

from dima_jax.scoring import audit
from dima_jax.scoring.result import RECORDED

PREDICTED, CONTROLS = 6, 4  # colors of the style sheet: s0 ... and c0 ...


class Series(NamedTuple):
    """A row of the frames file. style: its class in the style sheet; shown: whether drawings show it at first."""

    row: int
    name: str
    kind: str  # "prediction" or "control"
    style: str
    shown: bool


def all_series(result: dict, planners: np.ndarray) -> list[Series]:
    """In the order of the rows, without the recorded path and the audit's. planners: names of the frames file's rows."""
    kinds = {one["row"]: one["kind"] for one in result["planners"]}
    found, counts = [], {"s": 0, "c": 0}
    for row, name in enumerate(planners.tolist()):
        kind = kinds.get(name, "prediction")
        if kind == audit.KIND or (name == RECORDED and kind == "control"):
            continue
        letter, of = ("s", PREDICTED) if kind == "prediction" else ("c", CONTROLS)
        found.append(Series(row, name, kind, f"{letter}{counts[letter] % of}", kind == "prediction"))
        counts[letter] += 1
    return found


def audited(result: dict) -> set[str]:
    """Planners of the audit, which are shown in its own table alone: most numbers of theirs are not computed."""
    return {one["name"] for one in result["planners"] if one["kind"] == audit.KIND}


def first(series: list[Series]) -> Series | None:
    """Whose worst frames are shown."""
    return next((one for one in series if one.kind == "prediction"), series[0] if series else None)
