"""study.json (`dima_jax.study`): every number of a study with its interval, what it was made of, and the verdicts.

Meters, and shares in [0, 1]; null where nothing is defined.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from dima_jax import commit
from dima_jax.scoring import result, subsets, verdicts
from dima_jax.scoring.statistics import Estimate
from dima_jax.study import power
from dima_jax.study.arm_file import Done
from dima_jax.study.plan import Plan
from dima_jax.study.scores import BLIND_WORST, COLUMNS, MAIN, PROTOCOL, SPOKEN, Scores

FORMAT, VERSION = "dima_jax.study", 1
MODE = "vector mode"


def build(plan: Plan, done: Mapping[str, Done], scores: Scores, data: Mapping[str, str], **provenance: str) -> dict:
    """The content of study.json. done, scores: of the arms that are there. data: {split: hash of its records}. provenance:
    where it comes from (file, command, created).
    """
    masks = scores.subsets(plan.blind)
    estimates = {name: scores.estimates(mask) for name, mask in masks.items()}
    differences = {name: scores.differences(plan.reference, mask) for name, mask in masks.items()}
    differences.get(BLIND_WORST, {}).pop(plan.blind, None)  # these frames were chosen because it is worst in them
    units = result.units(scores.definition)
    ranked = sorted(differences[subsets.ALL], key=lambda arm: _sorting(differences[subsets.ALL][arm][MAIN]))
    spoken = [
        scores.sentence(arm, plan.reference, differences[subsets.ALL][arm], column)
        for column in SPOKEN
        for arm in ranked
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "mode": MODE,
        "header": {
            "title": plan.title,
            "commit": commit.describe(),
            **provenance,
            "data": dict(data),
            "frames": int(scores.truth.future_valid.sum()),
            "scenes": scores.scenes(),
            "protocol": PROTOCOL,
            "definition_hash": scores.definition.hash,
        },
        "plan": _plan(plan),
        "arms": [_arm(plan, name, done.get(name)) for name in (arm.name for arm in plan.arms)],
        "subsets": {name: {"frames": int((mask & scores.truth.future_valid).sum())} for name, mask in masks.items()},
        "units": {column: units[column] for column in COLUMNS},
        "scores": {name: table(found) for name, found in estimates.items()},
        "seeds": {arm: scores.distances(arm)[0].mean(axis=1, where=scores.distances(arm)[1]) for arm in scores.arms},
        "differences": {
            name: {
                arm: {column: difference(one[column], units[column]) for column in COLUMNS}
                for arm, one in found.items()
            }
            for name, found in differences.items()
        },
        "order": ranked,
        "verdicts": [one for one in spoken if one],
        "power": {
            "assumed": plan.assumed._asdict() | {"detectable": detectable(plan, scores, plan.assumed)},
            "measured": {arm: _power(plan, scores, arm) for arm in ranked},
        },
        "curves": {name: {key: curve(rows) for key, rows in one.trained.curves.items()} for name, one in done.items()},
    }


def detectable(plan: Plan, scores: Scores, parts: power.Components) -> float:
    """The difference in meters that the plan detects with a probability of `power.POWER`."""
    return power.detectable(parts, plan.seeds, scores.scenes())


def curve(rows: Float[np.ndarray, "K points"]) -> dict[str, Sequence[float]]:
    """The mean over seeds, and the lowest and highest seed."""
    return {"mean": rows.mean(axis=0), "low": rows.min(axis=0), "high": rows.max(axis=0)}


def _sorting(one: Estimate) -> float:
    return np.inf if one.value is None else one.value


def _plan(plan: Plan) -> dict[str, Any]:
    names = ("seeds", "steps", "batch", "questions", "reference", "blind")
    return {name: getattr(plan, name) for name in names} | {"lines": _lines(plan.lines)}


def _arm(plan: Plan, name: str, done: Done | None) -> dict[str, Any]:
    arm = plan.arm(name)
    steps = arm.times * plan.steps
    teacher = arm.teacher or arm.cache
    found = {"name": name, "tests": arm.tests, "teacher": teacher, "steps": steps, "lines": _lines(arm.lines)}
    if done is None:
        return found | {"done": False, "seconds": None, "content_hash": None}
    return found | {"done": True, "seconds": done.seconds, "content_hash": done.content_hash}


def _lines(lines: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in lines.items()}


def table(found: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict]:
    """{arm: {column: its mean and interval}} of `Scores.estimates`, as JSON."""
    return {arm: {column: columns[column]._asdict() for column in COLUMNS} for arm, columns in found.items()}


def difference(one: Estimate, unit: str) -> dict[str, Any]:
    """One number of `Scores.differences` with its interval and its verdict, as JSON."""
    told = one._asdict()
    return {"difference": told.pop("value"), **told, "verdict": verdicts.verdict(one, unit)}


def _power(plan: Plan, scores: Scores, arm: str) -> dict[str, float] | None:
    parts = scores.components(arm, plan.reference)
    return None if parts is None else parts._asdict() | {"detectable": detectable(plan, scores, parts)}
