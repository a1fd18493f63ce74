"""scores.json (`dima_jax.scores`): every number of a scoring with its interval, what it was made of, and the verdicts.

`docs/scores.schema.json` is its schema. Meters, and shares in [0, 1]; null where nothing is defined.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dima_jax import commit
from dima_jax.metrics.protocols import registry
from dima_jax.metrics.protocols.base import Definition, Plans
from dima_jax.scoring import audit, run, statistics, subsets, verdicts
from dima_jax.scoring.predictions import Predictions
from dima_jax.scoring.recorded import Truth
from dima_jax.scoring.run import ProtocolFrames
from dima_jax.scoring.statistics import Planner

FORMAT, VERSION = "dima_jax.scores", 1
RECORDED = "recorded path"  # a plan's distance to it is its L2: nothing is left to compare
SCENES_UNKNOWN = "unknown"  # of a truth's header: every frame is its own scene
VARIANT_KINDS = ("control", audit.KIND)  # `kind` in the header of a planner's plans on a changed input (`variants.py`)


class Rows(NamedTuple):
    """Which rows of the plans are of which planner; several seeds of one are pooled."""

    of: dict[str, list[int]]
    kinds: dict[str, str]  # {planner: "prediction", "control" or "audit"}
    variants: list[str]  # planners that are another one on a changed input
    partial: dict[str, str]  # {planner: "scored 5,119 of 6,019 frames"} of those without a plan for every frame

    @property
    def others(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind == "prediction"]

    @property
    def controls(self) -> list[str]:
        """Those that see nothing."""
        return [name for name, kind in self.kinds.items() if kind == "control" and name not in self.variants]


def build(
    truth: Truth,
    plans: Plans,
    predictions: Sequence[Predictions],
    scored: dict[str, ProtocolFrames],
    protocols: Sequence[str],
    *,
    pair: bool = False,
    command: str = "",
    created: str = "",
    extra: dict | None = None,
    lists: Mapping[str, Bool[np.ndarray, " N"]] | None = None,
) -> dict:
    """The content of scores.json.

    plans, predictions: of the same files in the same order, controls (no file) among them. protocols: all that were
    asked for. pair: compare every two files; else each with the first, and with every control in any case. A planner on
    a changed input (`VARIANT_KINDS`) is compared with the same planner on its own. command, created: the only entries
    that may differ between equal runs. extra: further tables (perception, edit_reaction). lists: further groups of frames
    (`token_lists.masks`).
    """
    rows = _rows(plans, predictions)
    scenes_known = truth.header.get("scenes") != SCENES_UNKNOWN
    scene = truth.scene if scenes_known else np.zeros(len(truth.tokens), np.int32)
    groups = {name: mask for name, mask in subsets.masks(truth, lists).items() if mask.any()}
    pairs = _pairs(rows, pair)
    result = {
        "format": FORMAT,
        "version": VERSION,
        "header": _header(truth, scenes_known, command, created),
        "planners": [_planner(one, plans, i) for i, one in enumerate(predictions)],
        "protocols": {name: _protocol(name, truth, scored.get(name)) for name in protocols},
        "subsets": {name: _subset(mask, scene, scenes_known) for name, mask in groups.items()},
        "scores": {},
        "differences": {},
        "verdicts": [],
    }
    for name, found in scored.items():
        result["scores"][name], result["differences"][name] = {}, {}
        for subset, mask in groups.items():
            planners = _planners(rows, found, mask)
            estimates = statistics.estimates(found.definition, planners, scene[mask])
            result["scores"][name][subset] = {
                planner: {column: _number(one) for column, one in columns.items()}
                for planner, columns in estimates.items()
            }
            differences = statistics.differences(found.definition, planners, pairs, scene[mask])
            result["differences"][name][subset] = _compared(found.definition, pairs, differences)
            if subset == subsets.ALL and result["subsets"][subset]["ranked"]:
                result["verdicts"] += _sentences(found.definition, pairs, differences, rows)
    if not result["subsets"][subsets.ALL]["ranked"]:
        result["verdicts"] = [f"Planners are not ranked: fewer than {statistics.FEWEST_RANKED} scenes, or none known."]
    decided = (verdicts.A_BETTER, verdicts.B_BETTER, verdicts.UNDECIDED)
    every = [one for groups in result["differences"].values() for found in groups.values() for one in found]
    result["comparisons"] = sum(one["verdict"] in decided for one in every)
    if told := audit.table(result):
        result["audit"] = told
    return result | (extra or {})


def _rows(plans: Plans, predictions: Sequence[Predictions]) -> Rows:
    of: dict[str, list[int]] = {}
    for i, one in enumerate(predictions):
        of.setdefault(one.planner, []).append(i)
    counts = {name: int(plans.covered[rows].sum(axis=1).min()) for name, rows in of.items()}
    total = plans.covered.shape[1]
    partial = {name: coverage(count, total) for name, count in counts.items() if count < total}
    kinds = {one.planner: _kind(one) for one in reversed(predictions)}  # of several seeds, the first file's
    variants = [name for name in of if any(one.planner == name and _is_variant(one) for one in predictions)]
    return Rows(of, {name: kinds[name] for name in of}, variants, partial)


def _is_variant(one: Predictions) -> bool:
    return one.header.get("kind") in VARIANT_KINDS


def _kind(one: Predictions) -> str:
    if _is_variant(one):
        return one.header["kind"]
    return "prediction" if one.file else "control"


def coverage(scored: int, of: int) -> str:
    """In words."""
    return f"scored {scored:,} of {of:,} frames"


def _pairs(rows: Rows, pair: bool) -> list[tuple[str, str]]:
    """Who is compared with whom: nobody with the recorded path, a variant with the planner whose name its own begins with.

    Such a planner's name is "<planner>, <what is changed>"; where there is no such planner, it is the first file's.
    """
    files = rows.others
    among = [*itertools.combinations(files, 2)] if pair else [(files[0], other) for other in files[1:]] if files else []
    among += [(name, control) for name in files for control in rows.controls if control != RECORDED]
    for name in rows.variants if files else []:
        own = [one for one in files if name.startswith(f"{one}, ")]
        among.append((max(own, key=len) if own else files[0], name))
    return among


def _header(truth: Truth, scenes_known: bool, command: str, created: str) -> dict:
    hashes = {key: truth.header.get(key) for key in ("content_hash", "data_hash", "token_hash", "has", "split")}
    scenes = len(np.unique(truth.scene)) if scenes_known else None
    described = hashes | {"frames": len(truth.tokens), "scenes": scenes}
    return {"commit": commit.describe(), "created": created, "command": command, "truth": described}


def _planner(one: Predictions, plans: Plans, row: int) -> dict:
    return {
        "name": one.planner,
        "row": plans.names[row],
        "kind": _kind(one),
        "file": one.file or None,
        "frame": one.frame,
        "seed": one.seed,
        "checkpoint": _of_type(one.header.get("checkpoint"), str),
        "step": _of_type(one.header.get("step"), int),
        "coverage": {"scored": int(plans.covered[row].sum()), "of": plans.covered.shape[1]},
        "given": one.header.get("given") or {},
    }


def _of_type(value: Any, kind: type) -> Any:
    """What a file says, if it is of this type."""
    return value if type(value) is kind else None


def _protocol(name: str, truth: Truth, found: ProtocolFrames | None) -> dict:
    definition = registry.get(name).definition
    told = definition._asdict() | {"columns": [column._asdict() for column in definition.columns]}
    result = {"version": definition.version, "definition_hash": definition.hash, "definition": told}
    if found is None:
        return result | {"available": False, "why_not": run.why_not(definition, truth)}
    missing = [column for column in definition.columns if column.quantity not in found.values]
    lacking = {column.name: f"the truth lacks what {column.quantity} needs" for column in missing}
    return result | {
        "available": True,
        "why_not": None,
        "columns_not_available": lacking,
        "recorded_collisions": _recorded(found),
    }


def _recorded(found: ProtocolFrames) -> dict:
    """The recorded path's own collisions, without any exemption, over the frames that enter.

    Over no frame where the truth lacks what collisions need.
    """
    frames = found.recorded[found.entered & ("collision" in found.values)]
    count = len(frames)
    return {
        "frames": count,
        "at_step": frames.mean(axis=0) if count else None,
        "any": frames.any(axis=1).mean() if count else None,
    }


def _subset(mask: Bool[np.ndarray, " n"], scene: Int[np.ndarray, " n"], scenes_known: bool) -> dict:
    scenes = len(np.unique(scene[mask]))
    return {
        "frames": int(mask.sum()),
        "scenes": scenes if scenes_known else None,
        "ranked": scenes >= statistics.FEWEST_RANKED,
    }


def _planners(rows: Rows, found: ProtocolFrames, mask: Bool[np.ndarray, " n"]) -> dict[str, Planner]:
    return {name: Planner(found.value[of][:, mask], found.weight[of][:, mask]) for name, of in rows.of.items()}


def _number(one: statistics.Estimate) -> dict:
    return {"value": one.value, "low": one.low, "high": one.high, "frames": one.frames}


def units(definition: Definition) -> dict[str, str]:
    """{column or average: its unit}."""
    found = {column.name: definition.quantities[column.quantity] for column in definition.columns}
    return found | {name: found[members[0]] for name, members in definition.averages.items()}


def headlines(definition: Definition) -> list[str]:
    """What is compared in words: the averages, or every column where there is none."""
    return list(definition.averages) or [column.name for column in definition.columns]


def _compared(
    definition: Definition, pairs: Sequence[tuple[str, str]], differences: Sequence[dict[str, statistics.Estimate]]
) -> list[dict]:
    """An entry for each pair and column."""
    unit, entries = units(definition), []
    for (a, b), columns in zip(pairs, differences, strict=True):
        for column, one in columns.items():
            told = _number(one)
            told["difference"] = told.pop("value")
            found = verdicts.verdict(one, unit[column])
            entries.append({"a": a, "b": b, "column": column, **told, "scenes": one.scenes, "verdict": found})
    return entries


def _sentences(
    definition: Definition,
    pairs: Sequence[tuple[str, str]],
    differences: Sequence[dict[str, statistics.Estimate]],
    rows: Rows,
) -> list[str]:
    """For each headline and each planner that is compared with others; the audit has sentences of its own."""
    unit, sentences = units(definition), []
    told = [(a, b, one) for (a, b), one in zip(pairs, differences, strict=True) if rows.kinds[b] != audit.KIND]
    for column in headlines(definition):
        for name in dict.fromkeys(a for a, _, _ in told):
            others = [(b, one[column]) for a, b, one in told if a == name]
            partial = [f"{one}: {rows.partial[one]}" for one in (name, *(b for b, _ in others)) if one in rows.partial]
            sentences.append(verdicts.sentence(name, others, column, unit[column], definition.name, ", ".join(partial)))
    return [one for one in sentences if one]
