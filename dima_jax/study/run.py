"""Runs a study: one arm after the other, each kept when it is finished; scores and page of those that are there."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from dima_jax import locks, output_files
from dima_jax.data import held_out, truth_arrays
from dima_jax.data.records import Records
from dima_jax.html_report import study_page
from dima_jax.interrupts import StopOnSignal
from dima_jax.scoring import npz_file, truth
from dima_jax.study import arm_file, caches, frames, outcome, power, training
from dima_jax.study.arm_file import Done
from dima_jax.study.plan import Arm, Plan, config_of
from dima_jax.study.scores import LLM, Scores
from dima_jax.types import TaughtEgo

JSON = "study.json"


def run(plan: Plan, out: str, **provenance: str) -> Path:
    """Trains the arms that are not in `out` yet, and writes `out`/study.json and `out`/index.html. Returns the page.

    provenance: where it comes from, for study.json. A signal exits after the steps that are under way; arms that are finished
    stay. UserError for data that is missing, and for arms in `out` that another plan made.
    """
    with locks.held(Path(out) / "study.lock", out):
        return _run(plan, out, provenance)


def _run(plan: Plan, out: str, provenance: dict[str, str]) -> Path:
    first = config_of(plan, plan.arm(plan.reference))
    records = {split: Records(plan.data, split) for split in splits(plan)}
    hashes = {split: one.data_hash for split, one in records.items()}
    held = held_out_hash(first, records[first.data.train_split])
    val = first.data.val_split
    scores = Scores(truth.made(*truth_arrays.arrays(records[val])), situations(plan, records[val]))
    print(announcement(plan, scores))
    done: dict[str, Done] = {}
    data: training.Data | None = None
    tokens = records[val].samples
    page = Path(out) / study_page.NAME
    for number, arm in enumerate(plan.ordered(), 1):
        config = config_of(plan, arm)
        place = arm_file.path_of(out, arm.name)
        taught, taught_hash = _teacher(plan, arm, done, records[first.data.train_split])
        inputs = arm_file.inputs(plan, arm, hashes, taught_hash, held)
        found = arm_file.read(place, tokens, inputs)
        is_new = found is None
        if is_new:
            data = read(plan) if data is None else data
            name, start = f"arm {number} of {len(plan.arms)}, {arm.name}", time.monotonic()
            with StopOnSignal() as stop:
                options = dict(teaches=arm.name in plan.teachers(), llm_drives=plan.llm_drives, name=name, stop=stop)
                trained = training.train(config, plan.seeds, data, taught, **options)
                if trained is not None:
                    found = arm_file.write(place, tokens, trained, time.monotonic() - start, inputs)
            if stop.requested:
                there = len(done) + (found is not None)
                print(
                    f"stopped by a signal; {there} of {len(plan.arms)} arms are done. The same command goes on with the rest."
                )
                sys.exit(stop.status)
        done[arm.name] = found
        scores.add(arm.name, tokens, found.trained.plans)
        if found.trained.llm_plans is not None:
            scores.add(arm.name + LLM, tokens, found.trained.llm_plans)
        print(progress(plan, done, scores, arm))
        if len(done) == len(plan.arms) or (is_new and len(done) > 1):
            result = outcome.build(plan, done, scores, hashes, **provenance)
            output_files.write_json(Path(out) / JSON, result)
            study_page.write(page, result)
    print("\n".join(result["verdicts"]))
    return page


def _teacher(plan: Plan, arm: Arm, done: dict[str, Done], records: Records) -> tuple[TaughtEgo | None, str]:
    """(what an arm is taught, [K, n, ...], the hash of it): by another arm, by files, or (None, "") by nobody. records: of
    the training split.
    """
    if arm.cache:
        found, content_hash = caches.load(plan, arm, records)
        return TaughtEgo(*found), content_hash
    if not arm.teacher:
        return None, ""
    return done[arm.teacher].trained.taught, done[arm.teacher].content_hash


def situations(plan: Plan, records: Records) -> dict[str, np.ndarray]:
    """{situation: its frames of these records}. UserError for one that is not there."""
    return {name: held_out.frames(records, names, f"situations[{name!r}]") for name, names in plan.situations.items()}


def held_out_hash(config: ConfigDict, records: Records) -> str:
    """Of the training frames without a path: `data.hold_out_paths` names files, whose content may change."""
    return npz_file.content_hash({"frames": np.asarray(held_out.frames(records, config.data.hold_out_paths))})


def splits(plan: Plan) -> tuple[str, ...]:
    """The names of the splits that a plan reads: those of its reference."""
    data = config_of(plan, plan.arm(plan.reference)).data
    return tuple(dict.fromkeys((data.train_split, data.val_split)))


def read(plan: Plan) -> training.Data:
    """Both splits in memory, with questions if an arm has an LLM and facts if one is taught them; all arms read the same."""
    configs = [config_of(plan, arm) for arm in plan.arms]
    reader = next((config for config in configs if config.auxiliary.facts), configs[0])
    talking = [config for config in configs if config.teacher.enabled]
    data = reader.data
    train, val = (frames.windows(reader, split)[1] for split in (data.train_split, data.val_split))
    words = frames.words(talking[0], data.train_split, plan.questions) if talking else None
    return training.Data(train, words, val)


def announcement(plan: Plan, scores: Scores) -> str:
    """What is about to be trained, and what it can detect."""
    forecast = power.forecast(plan.assumed, plan.seeds, scores.scenes())
    return (
        f"vector mode: {plan.title}\n{len(plan.arms)} arms x {plan.seeds} seeds x {plan.steps} steps of {plan.batch} "
        f"windows; compared with {plan.reference!r}\nassumed: {forecast}"
    )


def progress(plan: Plan, done: dict[str, Done], scores: Scores, arm: Arm) -> str:
    """What is known after an arm: its score, how long the rest takes, what can be detected."""
    distances, counts = scores.distances(arm.name)
    lines = [f"{arm.name}: L2 {distances[:, counts].mean():.3f} m, {done[arm.name].seconds:.0f} s; {left(plan, done)}"]
    if arm.name != plan.reference and plan.reference in done:
        parts = scores.components(arm.name, plan.reference)
        if parts is not None:
            lines.append(f"measured, minus {plan.reference}: {power.forecast(parts, plan.seeds, scores.scenes())}")
    return "\n".join(lines)


def left(plan: Plan, done: dict[str, Done]) -> str:
    """How long the other arms will take, by those that are done: with and without an LLM."""
    rest = [arm for arm in plan.arms if arm.name not in done]
    if not rest:
        return "all arms are done"
    seconds = {
        has_llm: _mean(
            done[arm.name].seconds for arm in plan.arms if arm.name in done and _has_llm(plan, arm) == has_llm
        )
        for has_llm in (False, True)
    }
    known = [seconds[_has_llm(plan, arm)] for arm in rest if seconds[_has_llm(plan, arm)] is not None]
    unknown = len(rest) - len(known)
    more = f", and {unknown} arm{'s' if unknown > 1 else ''} of a kind that is not timed yet" if unknown else ""
    return f"about {sum(known) / 60:.0f} min left for {len(known)} arm{'' if len(known) == 1 else 's'}{more}"


def _has_llm(plan: Plan, arm: Arm) -> bool:
    return config_of(plan, arm).teacher.enabled


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
