"""Drives the student through a split, frame by frame with its own previous BEV, and prints the planning tables.

    python -m dima_jax.evaluate                                    the student of the last run, with that run's config
    python -m dima_jax.evaluate --checkpoint=runs/base --figures=4 --blank_images --other_images
    python -m dima_jax.evaluate --checkpoint=runs/base --dual           beside it, student and teacher together

First all predictions, then the scores of these: every protocol (docs/scores/protocols.md) with 95 % intervals by
resampling scenes, beside planners that see nothing, and what the student finds. On request also the same student on
other inputs (black images, another scene's, the whole --audit), and DiMA-Dual and the teacher alone, which need the LLM
in every frame. Writes `scores.json` (--out), beside it the number of every frame, the plans and what was found; what is
printed goes to `evaluate.log`. A command that was stopped goes on with the scenes that are left. Scenes are shared among
all devices and, with JAX_COORDINATOR_ADDRESS set as for training, among the hosts that run the command.
"""

import contextlib
import datetime
import os
import shlex
import sys
from pathlib import Path

from absl import flags

from dima_jax import cli, output_files
from dima_jax.errors import UserError

READS = ("seed", "student", "data")  # of the config


def main() -> None:
    from dima_jax import early_checks, run_folder

    run = early_checks.chosen_run(CHECKPOINT.value)
    early_checks.check_run(run_folder.step_folder(run, STEP.value), CONFIG.value, READS, SPLIT.value)
    from dima_jax.prediction_writer import Places  # numpy

    places = Places.beside(OUT.value or run / "scores.json", SAVE.value)
    for flag, file in (("truth", TRUTH.value), ("edits", EDITS.value)):
        if file and places.holds(file):
            raise UserError(f"--{flag}={file} would be written over; give another --out or --save_predictions")
    if REPORT.value:
        output_files.check_place(Path(REPORT.value) / "index.html")

    cli.use_cores()
    import jax

    from dima_jax import locks

    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize()
    is_first = jax.process_index() == 0
    lock = locks.held(places.lock, str(places.out)) if is_first else contextlib.nullcontext()
    with lock:
        evaluate(run, places, is_first)


def evaluate(run: Path, places, is_first: bool) -> None:
    """Drives, prints and writes; is_first: of the processes, which alone prints and writes."""
    from dima_jax import checkpoints, edit_reaction, evaluation, report, variants, weights
    from dima_jax.data import sequences
    from dima_jax.data.records import Records
    from dima_jax.policy import Policy
    from dima_jax.scoring import controls, edits_file, frames_file, perception_tables, tables

    edits = edits_file.load(EDITS.value) if EDITS.value else None
    policy = Policy.load(run, CONFIG.value, STEP.value)
    config = policy.student.config
    split = SPLIT.value or config.data.val_split
    if edits is not None:
        edit_reaction.check(edits, Records(config.data.path, split), config.data.cameras)
    if is_first:  # after the run is known to be one: a mistyped folder is not made
        cli.log_to(run, "evaluate", is_needed=False)
    dual = evaluation.load_dual(checkpoints.step_folder(run, STEP.value), config) if DUAL.value else None
    found = evaluation.evaluate(
        policy,
        config,
        split,
        places,
        variants=variants.chosen(BLANK.value, OTHER.value, AUDIT.value, config.data.cameras),
        audit_scenes=AUDIT_SCENES.value,
        dual=dual,
        truth_file=TRUTH.value,
        command=shlex.join(["python", "-m", "dima_jax.evaluate", *sys.argv[1:]]),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    if found is None:
        return
    if edits is not None:
        found.result["edit_reaction"] = edit_reaction.run(policy, config, split, edits)
    if "perception" in found.result:
        perception_tables.print_all(found.result["perception"])
    tables.print_all(found.result)
    print("\n".join(controls.spread(found.truth, found.rows, found.scored)))
    if edits is not None:
        edit_reaction.print_table(found.result["edit_reaction"])
    print(f"student: {weights.count(policy.student.params):,} weights, step {policy.student.step} of {run}")
    if dual is not None:
        print(f"planners with the LLM: the teacher's {dual.teacher_weights:,} weights run as well, in every frame")
    evaluation.write(found, places)
    print(f"the same as JSON: {places.out}; the number of every frame: {places.frames}")
    print(f"plans for `python -m dima_jax.score`: {places.plans}; what was found: {places.perception}")
    if FIGURES.value:
        folder = places.out.parent / "figures"
        report.draw_chosen(found, sequences.Drives(config, split), folder, FIGURES.value)
        print(f"pictures: {folder}")
    if REPORT.value:
        from dima_jax.html_report import images, page

        frames = frames_file.load(places.frames)
        pictures = images.of_records(config.data.path, split, found.truth.tokens.tolist())
        print(f"page: {page.write(REPORT.value, found.result, frames, found.truth, pictures)}")


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config(parts=READS)
    CHECKPOINT = flags.DEFINE_string(
        "checkpoint", None, "Folder of a run, or of one of its steps; default: the last run."
    )
    STEP = flags.DEFINE_integer("step", None, "Step of the run; default: its latest.", lower_bound=0)
    SPLIT = flags.DEFINE_string("split", None, "Split to drive; default: the config's val split.")
    BLANK = flags.DEFINE_boolean("blank_images", False, "Add the row of the same student fed black images.")
    OTHER = flags.DEFINE_boolean(
        "other_images", False, "Add the row of the same student fed the images of the next scene of the split."
    )
    AUDIT = flags.DEFINE_boolean(
        "audit", False, "Add what the plan hangs on: the same student on each of many changed inputs."
    )
    AUDIT_SCENES = flags.DEFINE_integer(
        "audit_scenes", None, "Drive the audit's rows through the first N scenes alone; default: all.", lower_bound=1
    )
    DUAL = flags.DEFINE_boolean(
        "dual", False, "Add DiMA-Dual, student and teacher together, and the teacher alone: the LLM in every frame."
    )
    EDITS = flags.DEFINE_string(
        "edits",
        None,
        "Scenes with a car painted into them, a file of data_prep.miniworld.edit: adds how the plan reacts to it.",
    )
    REPORT = flags.DEFINE_string("report", None, "Folder for a page with all tables, charts and the worst frames.")
    FIGURES = flags.DEFINE_integer(
        "figures",
        0,
        "Draw the N worst frames by L2, at most one of a scene, and one of the median scene.",
        lower_bound=0,
    )
    OUT = flags.DEFINE_string("out", None, "JSON of all tables; default: scores.json in the checkpoint's folder.")
    SAVE = flags.DEFINE_string(
        "save_predictions", None, "The student's plans, an npz file; default: scores.student.npz beside --out."
    )
    TRUTH = flags.DEFINE_string(
        "truth",
        None,
        "What was recorded, a file of data_prep.truth: with --dataroot it has what some protocols need; default: made of "
        "the records.",
    )
    cli.run(main)
