"""Asks the teacher about a scene.

    python -m dima_jax.ask --checkpoint=runs/demo --sample=TOKEN "What should the ego vehicle do?"
    python -m dima_jax.ask --checkpoint=runs/demo --split=val --out=answers.json [--limit=100] [--show=10]
    python -m dima_jax.ask --checkpoint=runs/demo --split=val --out=answers_blank.json --blank_images

With a sample and a question the answer appears word by word. With --out every question that the records of a split hold
is answered, in the form that DriveLM's evaluation reads: [{"id": "<scene>_<sample>_<number>", "kind", "question",
"gt_answer", "answer"}, ...]; a run that is stopped goes on where it was. --show prints questions and answers beside what
was recorded. `python -m dima_jax.score_answers` scores the file; --blank_images is its control.

The student and the trained parts of the teacher come from the checkpoint, the LLM's frozen base from where the run took
it (`teacher.weights`, else the run's seed). The student looks at `data.history` key frames before the sample's first.
"""

from pathlib import Path

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError

READS = ("seed", "student", "teacher", "data", "mesh")  # of the config


def main(question: str | None) -> None:
    if OUT.value is None and (question is None or SAMPLE.value is None):
        raise UserError("give --sample=TOKEN and a question in quotes, or --out=FILE for all questions of --split")

    from dima_jax import early_checks, run_folder

    run = early_checks.chosen_run(CHECKPOINT.value)
    early_checks.check_run(
        run_folder.step_folder(run, STEP.value), CONFIG.value, READS, SPLIT.value, None if OUT.value else SAMPLE.value
    )

    from dima_jax import answers, checkpoints
    from dima_jax.data import sequences

    saved, _, meta = checkpoints.load_student(run, STEP.value)
    cli.log_to(run, "ask", is_needed=False)
    config = CONFIG.value or saved
    checkpoints.check_model(meta["config"], config, str(run), (*checkpoints.STUDENT_KEYS, "teacher"))
    frames = sequences.Drives(config, SPLIT.value or config.data.val_split)
    asker = answers.Asker(checkpoints.step_folder(run, STEP.value), config, MAX_TOKENS.value, BLANK.value)
    if OUT.value is not None:
        answers.answer_split(asker, frames, Path(OUT.value), LIMIT.value, SHOW.value)
    else:
        answers.answer_one(asker, frames, SAMPLE.value, question)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config(parts=READS)
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a run with a teacher; default: the last run.")
    STEP = flags.DEFINE_integer("step", None, "Step of the run; default: its latest.", lower_bound=0)
    SAMPLE = flags.DEFINE_string("sample", None, "Sample token of the key frame to ask about.")
    SPLIT = flags.DEFINE_string("split", None, "Split that holds it; default: the config's val split.")
    OUT = flags.DEFINE_string("out", None, "Answer all recorded questions of the split into this JSON file.")
    LIMIT = flags.DEFINE_integer(
        "limit", None, "With --out: only the first N frames that have questions.", lower_bound=1
    )
    SHOW = flags.DEFINE_integer("show", 10, "With --out: print so many answers, spread over all.", lower_bound=0)
    MAX_TOKENS = flags.DEFINE_integer("max_tokens", 64, "Most tokens of an answer.", lower_bound=1)
    BLANK = flags.DEFINE_boolean("blank_images", False, "The student sees black images: does the teacher look at all?")
    cli.run(main, words="QUESTION")
