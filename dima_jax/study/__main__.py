"""Trains the arms of a study with several seeds each in vector mode, scores them, and says which differ.

    python -m dima_jax.study --plan=studies/forms.py --out=runs/forms
    python -m dima_jax.study --plan=studies/forms.py --out=runs/trial --seeds=2 --steps=100 --arms=blind

Writes into --out a file for each arm, study.json, the page index.html, and study.log. Ctrl-C and SIGTERM end it; the same
command goes on with the arms that are left. --data, --seeds, --steps and --arms change the plan, for a trial say; with
--reference all arms are compared with another one, and nothing is trained again. What vector mode can and cannot test, and
how a plan is written: docs/evidence.md.
"""

import datetime
import shlex
import sys
from pathlib import Path

from absl import flags

from dima_jax import cli, output_files
from dima_jax.errors import UserError

PLAN = flags.DEFINE_string("plan", None, "Plan of a study, e.g. studies/forms.py.")
OUT = flags.DEFINE_string("out", None, "Folder to write.")
DATA = flags.DEFINE_string("data", None, "Folder of the records; default: the plan's.")
SEEDS = flags.DEFINE_integer("seeds", None, "Seeds of each arm; default: the plan's.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", None, "Steps of each run; default: the plan's.", lower_bound=1)
ARMS = flags.DEFINE_list(
    "arms", None, "Names of arms, separated by commas; the reference and their teachers come along. Default: all."
)
REFERENCE = flags.DEFINE_string(
    "reference", None, "Name of the arm that all others are compared with; default: the plan's."
)


def main() -> None:
    if not PLAN.value or not OUT.value:
        raise UserError("--plan and --out are needed, e.g. --plan=studies/forms.py --out=runs/forms; see --help")

    from dima_jax import config_check
    from dima_jax.study import caches
    from dima_jax.study import plan as plans

    changes = dict(data=DATA.value, seeds=SEEDS.value, steps=STEPS.value, reference=REFERENCE.value, arms=ARMS.value)
    plan = plans.load(PLAN.value, **changes)
    for arm in plan.arms:
        config = plans.config_of(plan, arm)
        of_llm = ("teacher.tokenizer", "teacher.weights") if config.teacher.enabled else ()
        config_check.check_folders(config, "data.path", *of_llm)
    caches.check(plan)
    output_files.check_place(Path(OUT.value) / "study.json")
    cli.log_to(OUT.value, "study")
    cli.use_cores()

    from dima_jax.study import run

    provenance = {
        "file": PLAN.value,
        "command": shlex.join(["python", "-m", "dima_jax.study", *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    print(f"page: {run.run(plan, OUT.value, **provenance)}")


if __name__ == "__main__":
    cli.run(main)
