"""Trains DiMA (or, without a teacher, the student alone: stages 1 and 2); resumes by itself.

    python -m dima_jax.train --config=configs/demo.py                            a laptop, on the mini world
    python -m dima_jax.train --config=configs/base.py --workdir=runs/base --config.train.epochs=12

Writes `checkpoints/`, TensorBoard `events/` and `train.log` into --workdir. Ctrl-C and SIGTERM save and exit, a second
one exits at once; the same command goes on with exactly the next window. Several hosts: set JAX_COORDINATOR_ADDRESS and
run the command on each.
"""

from pathlib import Path

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def main() -> None:
    if CONFIG.value is None:
        raise UserError("--config is missing; e.g. --config=configs/demo.py (runs on a laptop) or configs/base.py")
    workdir = WORKDIR.value or f"runs/{Path(flags.FLAGS['config'].config_filename).stem}"
    from dima_jax import config_check, run_folder

    is_fresh = not run_folder.steps(run_folder.checkpoint_folder(workdir))
    config_check.check_folders(CONFIG.value, *config_check.training_folders(CONFIG.value, is_fresh))
    if cache := CONFIG.value.distill.cache:
        from dima_jax.teacher_cache import TeacherCache

        TeacherCache(cache).check_form(CONFIG.value.distill)
    cli.log_to(workdir, "train")
    cli.prepare_jax(CONFIG.value.mesh)
    from dima_jax import train_loop

    train_loop.main(CONFIG.value, workdir, allow_config_change=ALLOW.value)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config()
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; default runs/<name of the config file>.")
    ALLOW = flags.DEFINE_boolean(
        "allow_config_change",
        False,
        "Go on with a run although the config changes its model, its optimizer's state or its place in the data.",
    )
    cli.run(main)
