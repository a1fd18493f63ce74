"""Which frames are shown: for each metric those in which a planner is worst, at most one of a scene.

n frames, F steps.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.html_report import words
from dima_jax.scoring.npz_file import Arrays

MOST = 10  # frames of a metric
DISTANCE = "l2_avg"
ANY = "any_3s"


class Metric(NamedTuple):
    """What "worst" is measured with: a column or an average of a protocol."""

    protocol: str
    column: str
    unit: str


class Reason(NamedTuple):
    """Why a frame is shown. rank: from 1."""

    metric: Metric
    rank: int
    value: float


class Chosen(NamedTuple):
    frame: int
    reasons: list[Reason]


def metrics(result: dict) -> list[Metric]:
    """Distance by the first protocol that has it; by every protocol any collision, and what only it has."""
    found, distance = [], False
    for name, protocol in result["protocols"].items():
        if not protocol["available"]:
            continue
        definition, lacking = protocol["definition"], protocol["columns_not_available"]
        quantity = {column["name"]: column["quantity"] for column in definition["columns"]}
        quantity |= {average: quantity[members[0]] for average, members in definition["averages"].items()}
        units = {column: definition["quantities"][of] for column, of in quantity.items()}
        wanted = [] if distance else [DISTANCE]
        wanted += [ANY]
        wanted += [one for one in definition["averages"] if quantity[one] not in ("l2", "collision", "point_collision")]
        have = [one for one in dict.fromkeys(wanted) if one in units and not _members(definition, one) & lacking.keys()]
        distance |= DISTANCE in have
        found += [Metric(name, one, units[one]) for one in have]
    return found


def _members(definition: dict, column: str) -> set[str]:
    return set(definition["averages"].get(column, [column]))


def values(result: dict, arrays: Arrays, metric: Metric, row: int) -> Float[np.ndarray, " n"]:
    """The metric of each frame; NaN where it does not count. row: of the planners."""
    names = arrays[f"{metric.protocol}/columns"].tolist()
    members = result["protocols"][metric.protocol]["definition"]["averages"].get(metric.column, [metric.column])
    columns = [names.index(name) for name in members]
    value, weight = (arrays[f"{metric.protocol}/{key}"][row][:, columns] for key in ("value", "weight"))
    return np.where((weight > 0).all(axis=1), value.mean(axis=1), np.nan)


def choose(result: dict, arrays: Arrays, row: int, most: int = MOST) -> list[Chosen]:
    """The worst frames of a planner, each once with all the reasons, in the order of metrics and ranks.

    Among frames that are equally bad, e.g. of collisions, one that is shown already comes first, then the one that is
    farther off. Frames in which nothing is wrong are not shown.
    """
    found, distance = metrics(result), np.zeros(len(arrays["tokens"]))
    for metric in found:
        if metric.column == DISTANCE:
            distance = np.nan_to_num(values(result, arrays, metric, row))
    chosen: dict[int, list[Reason]] = {}
    for metric in found:
        value = values(result, arrays, metric, row)
        bad = 1.0 - value if metric.unit == words.SCORE else value
        known = np.isin(np.arange(len(bad)), list(chosen))
        for rank, frame in enumerate(_worst(bad, known, distance, arrays["scene"], most), 1):
            chosen.setdefault(frame, []).append(Reason(metric, rank, float(value[frame])))
    return [Chosen(frame, reasons) for frame, reasons in chosen.items()]


def _worst(
    bad: Float[np.ndarray, " n"],
    known: Bool[np.ndarray, " n"],
    distance: Float[np.ndarray, " n"],
    scene: Int[np.ndarray, " n"],
    most: int,
) -> list[int]:
    """Numbers of frames, worst first."""
    order = np.lexsort((np.arange(len(bad)), -distance, ~known, -np.nan_to_num(bad, nan=-1.0)))
    scenes, found = set(), []
    for frame in order.tolist():
        if len(found) == most or not bad[frame] > 0:
            break
        if int(scene[frame]) not in scenes:
            scenes.add(int(scene[frame]))
            found.append(frame)
    return found


class Hit(NamedTuple):
    """A collision of a plan. agent: row of the truth's agents; step: from 0; protocols: that count it."""

    planner: int
    agent: int
    step: int
    protocols: tuple[str, ...]


def hits(arrays: Arrays, frame: int, row: int, instance: Int[np.ndarray, " T"] | None) -> list[Hit]:
    """Who is struck by a planner in a frame, each once at the first step at which a protocol counts it.

    instance: of the truth's agents, to know an agent of this frame in later ones; None: unknown.
    """
    found: dict[int, Hit] = {}
    for key in arrays:
        protocol, _, what = key.partition("/")
        if what != "hit" or f"{protocol}/collision" not in arrays:
            continue
        counted = arrays[f"{protocol}/collision"][row, frame] > 0
        for step, agent in enumerate(arrays[key][row, frame].tolist()):
            if agent < 0 or not counted[step]:
                continue
            who = agent if instance is None else int(instance[agent])
            before = found.get(who)
            if before is None or step < before.step:
                found[who] = Hit(row, agent, step, (*(before.protocols if before else ()), protocol))
            elif protocol not in before.protocols:
                found[who] = before._replace(protocols=(*before.protocols, protocol))
    return sorted(found.values(), key=lambda hit: hit.step)
