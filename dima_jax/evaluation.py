"""Predictions first, then scores: drives the student through a split and scores what it planned and found.

`drive_split` fills a folder with the predictions of every scene (`journal.py`), on all devices of all processes; `score`
reads it, and what was recorded, and needs no model. `write` puts the files beside `scores.json`.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from dima_jax import commit, config_changes, output_files, prediction_writer, scene_shards
from dima_jax.data import sequences, truth_arrays
from dima_jax.data.records import Records
from dima_jax.driving import STUDENT, drive
from dima_jax.errors import UserError
from dima_jax.journal import Journal
from dima_jax.metrics.protocols import registry
from dima_jax.metrics.protocols.base import Plans
from dima_jax.policy import Policy
from dima_jax.prediction_writer import Driven, Places
from dima_jax.progress import Progress
from dima_jax.scene_shards import Scene
from dima_jax.scoring import align, audit, controls, frames_file, npz_file, perception, perception_file, run, truth
from dima_jax.scoring import result as results
from dima_jax.scoring.perception_file import Perception
from dima_jax.scoring.predictions import Predictions
from dima_jax.scoring.recorded import Truth
from dima_jax.variants import Variant, others_of


class Evaluation(NamedTuple):
    """result: the content of scores.json. driven: of every frame in the order of the records. headers: of the files of
    plans, by row. perceived: the file of what was found. rows: the planners, controls among them. truth, plans, scored:
    what the result was made of, in the order of the truth.
    """

    result: dict
    driven: Driven
    headers: dict[str, dict]
    perceived: Perception
    rows: list[Predictions]
    truth: Truth
    plans: Plans
    scored: dict[str, run.ProtocolFrames]


def evaluate(
    policy: Policy,
    config: ConfigDict,
    split: str,
    places: Places,
    *,
    variants: Sequence[Variant] = (),
    audit_scenes: int | None = None,
    dual=None,
    devices: Sequence[jax.Device] | None = None,
    truth_file: str | Path | None = None,
    command: str = "",
    created: str = "",
) -> Evaluation | None:
    """Drives and scores a policy in JAX; None in every process but the first, after the result is written.

    variants: see `variants.chosen`. audit_scenes: those of kind "audit" drive this many scenes, from the first; by default
    all. dual: `load_dual`'s, or None. devices: of this process, by default all; a dual needs
    one. truth_file: by default made of the same records, without what the nuScenes root adds. command, created: see
    `result.build`. UserError if the records are missing, damaged or empty, or if what is left of a stopped evaluation is
    of another one.
    """
    drives = sequences.Drives(config, split)
    if not len(drives):
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    recorded = truth.load(truth_file) if truth_file else None
    if recorded is not None:
        _check_truth(recorded, truth_file, drives.records)
    journal = Journal(places.journal, _source(policy, config, drives.records, variants, audit_scenes, dual))
    with journal.told_of_failure():
        drive_split(policy, drives, journal, variants, audit_scenes, dual, devices)
        if jax.process_index():
            journal.wait_for_the_end()
            return None
        told = dict(variants=variants, recorded=recorded, command=command, created=created)
        return score(policy, config, drives, journal, places, **told)


def drive_split(
    policy: Policy,
    drives: sequences.Drives,
    journal: Journal,
    variants: Sequence[Variant] = (),
    audit_scenes: int | None = None,
    dual=None,
    devices: Sequence[jax.Device] | None = None,
) -> None:
    """Fills the journal with the scenes that it lacks: those of this process; the first waits for the others'."""
    journal.check()
    if dual is not None and jax.process_count() > 1:
        raise UserError("--dual drives in one process; start a single one")
    others = others_of(variants, drives.records)
    scenes = scene_shards.scenes_of(drives.records)
    audited = {scene.name for scene in scenes[:audit_scenes]}
    mine = scene_shards.share(scenes, jax.process_index(), jax.process_count())
    done = journal.finished(mine, drives.records.samples)
    if jax.process_index() == 0:
        journal.open()
    if jax.process_count() > 1:  # nobody looks for what is done after the first has begun to clear up
        multihost_utils.sync_global_devices("evaluation starts")
    left = [scene for scene in mine if scene not in done]
    if done:
        print(f"{len(done)} of {len(mine)} scenes are in {journal.folder}; {len(left)} are left to drive")
    policies = [policy]
    if dual is None and left:  # DiMA-Dual's LLM lies on devices of its own
        chosen = (jax.local_devices() if devices is None else devices)[: len(left)]
        policies = [Policy(policy.student.on(device)) for device in chosen]
    threads = max(drives.config.workers // len(policies), 1)
    counting = threading.Lock()

    with Progress(
        sum(len(scene.numbers) for scene in mine),
        "frame",
        name=drives.split,
        initial=sum(len(scene.numbers) for scene in done),
        first="compiling for the first frame" if left else "",
    ) as progress:

        def work(own: Policy, scene: Scene, stopped: threading.Event) -> None:
            parts = []
            rows = [one for one in variants if one.kind != audit.KIND or scene.name in audited]
            for one in drive(own, drives, scene.numbers, variants=rows, others=others, dual=dual, threads=threads):
                if stopped.is_set():
                    return
                plans = {name: plan[None] for name, plan in one.plans.items()}
                token = [one.frame.sample_token]
                parts.append(Driven(token, dict.fromkeys(plans, token), plans, perception_file.arrays(*one.predicted)))
                with counting:
                    progress.advance()
            journal.write(scene, prediction_writer.joined(parts))

        scene_shards.run(left, policies, work)
    if jax.process_index() == 0:
        journal.wait(scenes)


def score(
    policy: Policy,
    config: ConfigDict,
    drives: sequences.Drives,
    journal: Journal,
    places: Places,
    *,
    variants: Sequence[Variant] = (),
    recorded: Truth | None = None,
    command: str = "",
    created: str = "",
) -> Evaluation:
    """Scores a journal that is whole. recorded: by default made of the records."""
    records = drives.records
    driven = prediction_writer.joined([journal.read(scene) for scene in scene_shards.scenes_of(records)])
    recorded = made_truth(records) if recorded is None else recorded
    headers = _headers(policy, config, records, driven, variants)
    seen = {"split": drives.split, "pc_range": list(drives.pc_range), "num_points": drives.num_points}
    perceived = Perception(places.perception.name, headers[STUDENT] | seen, driven.tokens, driven.found)
    rows = [_row(name, places.row(name), driven, header) for name, header in headers.items()]
    rows += controls.plans(recorded, train_truth(config.data, recorded), headers[STUDENT]["given"])
    plans = align.align(recorded, rows, allow_missing=True)  # the audit's rows may be of some scenes
    protocols = list(registry.PROTOCOLS)
    audited = {one.name: [audit.PROTOCOL] for one in variants if one.kind == audit.KIND}  # nobody reads the rest
    scored = run.score(recorded, plans, protocols, limited=audited)
    extra = {}
    if recorded.has("agents"):
        extra = {"perception": perception.score(recorded, perceived)}
    else:
        print(f"no box was recorded in split {drives.split!r}: what was found, and collisions, have no scores")
    result = results.build(recorded, plans, rows, scored, protocols, command=command, created=created, extra=extra)
    return Evaluation(result, driven, headers, perceived, rows, recorded, plans, scored)


def write(evaluation: Evaluation, places: Places) -> None:
    """Writes all files; the journal is removed last."""
    prediction_writer.write(places, evaluation.driven, evaluation.headers, evaluation.perceived.header)
    output_files.write_json(places.out, evaluation.result)
    frames_file.save(places.frames, evaluation.result, evaluation.truth, evaluation.plans, evaluation.scored)
    Journal(places.journal, {}).remove()


def made_truth(records: Records) -> Truth:
    """What was recorded, of all frames of a split."""
    return truth.made(*truth_arrays.arrays(records))


def train_truth(data: ConfigDict, scored: Truth) -> Truth | None:
    """Of the training split, for the controls that are fitted; None, and a line that says why, without its records or
    where its frames are those that are scored.
    """
    try:
        records = Records(data.path, data.train_split)
        if not set(records.samples).isdisjoint(scored.tokens.tolist()):
            raise UserError(f"split {data.train_split!r} is scored itself")
        return made_truth(records)
    except UserError as error:
        print(f"no control that is fitted beside the student: {error}")
        return None


def load_dual(run: Path, config: ConfigDict):
    """A `dual.Dual`. The one place where the teacher is imported: without --dual evaluation is the student alone."""
    from dima_jax.dual import Dual

    return Dual(run, config)


def _check_truth(recorded: Truth, file: str | Path, records: Records) -> None:
    if recorded.path is None or not recorded.has("agents"):
        raise UserError(f"--truth={file} has no agents, or no paths of the LiDAR; make it with data_prep.truth --data")
    if set(recorded.tokens.tolist()) != set(records.samples):
        raise UserError(
            f"--truth={file} is not of the frames of split {records.split!r} of {records.folder}; make it of these "
            "records, or leave --truth out"
        )


def _source(
    policy: Policy, config: ConfigDict, records: Records, variants: Sequence[Variant], audit_scenes: int | None, dual
) -> dict:
    """What predictions hang on."""
    return {
        "checkpoint": _weights_hash(policy),
        "step": policy.student.step,
        "config": config_changes.hash_of_inputs(config, "student", *(["teacher"] if dual else [])),
        "data": records.data_hash,
        "split": records.split,
        "audit_scenes": audit_scenes,
        "commit": commit.describe(),
        "rows": [STUDENT, *(one.name for one in variants), *(["DiMA-Dual"] if dual else [])],
    }


def _weights_hash(policy: Policy) -> str:
    """16 hexadecimal digits that change with any weight."""
    return npz_file.content_hash({path: np.asarray(value) for path, value in policy.student.params.items()})


def _row(name: str, place: Path, driven: Driven, header: dict) -> Predictions:
    """As it will be read from its file."""
    plans = driven.plans[name].astype(np.float32).astype(np.float64)
    if len(odd := np.flatnonzero(~np.isfinite(plans).all(axis=(1, 2)))):
        raise UserError(
            f"{name}: {len(odd):,} of {len(plans):,} plans are no finite numbers, the first in frame "
            f"{driven.planned[name][odd[0]]}; give a checkpoint that works"
        )
    return Predictions(name, place.name, header["frame"], driven.planned[name], plans, header["seed"], header)


def _headers(
    policy: Policy, config: ConfigDict, records: Records, driven: Driven, variants: Sequence[Variant]
) -> dict[str, dict]:
    """Of the files of plans, by row."""
    kinds = {one.name: one.kind for one in variants}
    common = {
        "frame": "lidar",
        "seed": config.seed,
        "checkpoint": _weights_hash(policy),
        "step": policy.student.step,
        "commit": commit.describe(),
        "data_hash": records.data_hash,
        "given": {"ego_status": config.data.ego_status, "command": config.data.command},
    }
    return {name: common | {"planner": name, "kind": kinds.get(name, "prediction")} for name in driven.plans}
