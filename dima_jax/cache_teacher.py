"""Writes what a trained teacher says of every key frame of a split, so that a student learns from it without the LLM.

    python -m dima_jax.cache_teacher --checkpoint=runs/base --out=runs/base/taught
    python -m dima_jax.cache_teacher --checkpoint=runs/base --split=val --out=runs/base/taught_val

The student of the run drives each scene from its first frame, as in evaluation; the teacher reads its scene tokens, and
its ego feature and its own plan are kept (`teacher_cache.py`). A run of vector mode teaches too, also students that see
images: the privileged teacher of configs/privileged.py, for one. A command that was stopped goes on with the scenes that
are left. Several commands may share the scenes: --share=0/2 and --share=1/2. The teacher's answers to all questions of a
split: `python -m dima_jax.ask --split=train --out=FILE`.
"""

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError

READS = ("seed", "student", "vector", "teacher", "data", "mesh")  # of the config


def main() -> None:
    from dima_jax import early_checks, run_folder, scene_shards

    part, parts = scene_shards.share_of(SHARE.value)
    run = early_checks.chosen_run(CHECKPOINT.value)
    folder = run_folder.step_folder(run, STEP.value)
    early_checks.check_run(folder, CONFIG.value, READS, SPLIT.value, default_split="train_split")

    from dima_jax import checkpoints, teaching_drive

    saved, _, meta = checkpoints.load_student(run, STEP.value)
    config = CONFIG.value or saved
    if not (saved.teacher.enabled or saved.vector.enabled):
        raise UserError(
            f"--checkpoint={run} was trained without a teacher; give a joint run (configs/demo.py, configs/base.py), or one "
            "of a privileged teacher (configs/privileged.py)"
        )
    checkpoints.check_model(meta["config"], config, str(run), (*checkpoints.STUDENT_KEYS, "vector", "teacher"))
    split = SPLIT.value or config.data.train_split
    teaching_drive.write(checkpoints.step_folder(run, STEP.value), config, split, OUT.value, part=part, parts=parts)
    print(f"{OUT.value}: what the teacher of {run} says of split {split}")


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config(parts=READS)
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a run with a teacher; default: the last run.")
    STEP = flags.DEFINE_integer("step", None, "Step of the run; default: its latest.", lower_bound=0)
    SPLIT = flags.DEFINE_string("split", None, "Split to drive; default: the config's train split.")
    OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
    SHARE = flags.DEFINE_string("share", "0/1", "Which of several commands this is, each with scenes of its own.")
    cli.run(main)
