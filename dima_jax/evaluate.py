"""Drives the student through a split, frame by frame with its own previous BEV, and prints the planning tables.

    python -m dima_jax.evaluate                                    the student of the last run, with that run's config
    python -m dima_jax.evaluate --checkpoint=runs/base --figures=4 --blank_images --other_images
    python -m dima_jax.evaluate --checkpoint=runs/base --dual           beside it, student and teacher together

Every number is printed with its protocol's name, the sample count and the seed, beside planners that see nothing: the
recorded path, constant velocity, constant turn rate, going straight, standing still, and an MLP that is given what the
student is given of the ego (fitted on the training split in seconds). On request also the same student fed black
images, or another scene's, and DiMA-Dual and the teacher alone, which need the LLM in every frame. Intervals are 95 %,
by resampling scenes. Writes the same as JSON (--out), pictures (--figures), and what is printed to `evaluate.log`.
"""

from pathlib import Path

from absl import flags

from dima_jax import cli, output_files
from dima_jax.errors import UserError

READS = ("seed", "student", "data")  # of the config


def main() -> None:
    from dima_jax import early_checks, run_folder

    run = early_checks.chosen_run(CHECKPOINT.value)
    early_checks.check_run(run_folder.step_folder(run, STEP.value), CONFIG.value, READS, SPLIT.value)
    out = Path(OUT.value) if OUT.value else run / "evaluation.json"
    for place in filter(None, (out, SAVE.value)):
        output_files.check_place(place)

    from dima_jax import checkpoints, evaluation, report
    from dima_jax.policy import Policy

    policy = Policy.load(run, CONFIG.value, STEP.value)
    cli.log_to(run, "evaluate", is_needed=False)  # after the run is known to be one: a mistyped folder is not made
    config = policy.student.config
    split = SPLIT.value or config.data.val_split
    scores = evaluation.evaluate(
        policy,
        config,
        split,
        blank_images=BLANK.value,
        other_images=OTHER.value,
        dual=evaluation.load_dual(checkpoints.step_folder(run, STEP.value), config) if DUAL.value else None,
        blind=fit_blind(config),
        num_pictures=FIGURES.value,
    )
    result = scores.result | {"checkpoint": str(run), "step": policy.student.step, "seed": config.seed, "split": split}
    report.print_tables(result)
    output_files.write_json(out, result, indent=2)
    print(f"the same as JSON: {out}")
    if SAVE.value:
        evaluation.save_predictions(SAVE.value, scores.plans, policy, split)
        print(f"plans for `python -m dima_jax.score`: {SAVE.value}")
    for picture in scores.pictures:
        report.draw(picture.driven, policy.info.pc_range, run / "figures", picture.name, picture.note)
    if FIGURES.value:
        print(f"pictures: {run / 'figures'}")


def fit_blind(config):
    """A `BlindPlanner`; None, and a line that says why, where there are no records to fit it on."""
    from dima_jax.blind_planner import BlindPlanner

    split = config.data.train_split
    try:
        blind = BlindPlanner(config, split)
    except UserError as error:
        print(f"no blind MLP beside the student: {error}")
        return None
    print(f"{blind.name}: fitted on {blind.num_frames} frames of split {split} in {blind.seconds:.1f} s")
    return blind


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
    DUAL = flags.DEFINE_boolean(
        "dual", False, "Add DiMA-Dual, student and teacher together, and the teacher alone: the LLM in every frame."
    )
    FIGURES = flags.DEFINE_integer(
        "figures",
        0,
        "Draw one frame of each of the first N scenes, and of the median and the worst scene by L2.",
        lower_bound=0,
    )
    OUT = flags.DEFINE_string(
        "out",
        None,
        "JSON of all tables, null where nothing is defined; default: evaluation.json in the checkpoint's folder.",
    )
    SAVE = flags.DEFINE_string(
        "save_predictions", None, "Write the student's plans as an npz file that `dima_jax.score` reads."
    )
    cli.run(main)
