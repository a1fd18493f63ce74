"""Scores answers about scenes: DriveLM's accuracy, match and language scores, and each kind of question by itself.

    python -m dima_jax.score_answers --answers=answers.json
    python -m dima_jax.score_answers --answers=output.json --truth=test_eval.json --out=scores.json
    python -m dima_jax.score_answers --answers=answers.json --blank=answers_blank.json

--answers is a list of {"id", "question", "gt_answer", "answer"}: what `python -m dima_jax.ask --out` and DriveLM's
baseline write, or a DriveLM submission. Recorded answers are the file's own, or those of --truth: DriveLM's question file,
whose kinds and tags are then used, or another list. Every question must be answered once; what is not is refused by id.

--blank compares with the answers of the same model to black images (`python -m dima_jax.ask --blank_images`): who answers
as well without images reads the questions alone. No model is needed, but for --judge: the probability that a LLaMA on
your disk gives to "yes, the answer says the same as the recorded one". docs/scores/language.md
"""

from pathlib import Path

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError

FORMAT, VERSION = "dima_jax.answer_scores", 1


def main() -> None:
    if not ANSWERS.value:
        raise UserError("--answers is missing: give the file that `python -m dima_jax.ask --out` wrote, or DriveLM's")
    score(ANSWERS.value, TRUTH.value, BLANK.value, OUT.value, JUDGE.value)


def score(
    answers_path: str, truth_path: str | None, blank_path: str | None, out: str | None, judge_folder: str | None
) -> None:
    """Prints the scores of a file and writes them to `out`. UserError for whatever is wrong with the files."""
    from dima_jax import commit
    from dima_jax.metrics.language import captions
    from dima_jax.output_files import check_place, write_json
    from dima_jax.scoring import answer_files, answer_scores, answer_tables

    file = answer_files.read_answers(answers_path)
    if truth_path:
        questions, truth_hash = answer_files.read_recorded(truth_path)
    else:
        questions, truth_hash = answer_files.recorded_in(file), file.hash
    truth = truth_path or answers_path
    files = {"answers": file}
    if blank_path:
        files["blank"] = answer_files.read_answers(blank_path)
        if Path(blank_path).samefile(answers_path):
            raise UserError(f"--blank={blank_path}: is --answers itself; give the answers to blank images")
    answers = {name: answer_files.aligned(one, questions, truth) for name, one in files.items()}
    if out:
        check_place(out)

    truths = [one.truth for one in questions]
    why_not, tokens = captions.why_not(), dict.fromkeys([*files, "recorded"])
    if why_not is None:
        split = captions.tokenize([text for part in (*answers.values(), truths) for text in part])
        tokens = {name: split[i * len(truths) : (i + 1) * len(truths)] for i, name in enumerate(tokens)}
    grades, judged = dict.fromkeys(files), {}
    if judge_folder:
        from dima_jax import judge

        local = judge.Judge(Path(judge_folder))
        asked = [one.question for one in questions]
        grades = {name: local.grades(asked, truths, some) for name, some in answers.items()}
        judged = {"judge": {"folder": judge_folder, **local.controls(asked, truths)}}

    given = {name: answer_scores.Given(answers[name], tokens[name], grades[name]) for name in files}
    header = {
        "commit": commit.describe(),
        **{name: {"file": one.path, "hash": one.hash} for name, one in files.items()},
        "truth": {"file": truth, "hash": truth_hash},
        "questions": len(questions),
        "frames": len({(one.scene, one.frame) for one in questions}),
        "scenes": len({one.scene for one in questions}),
    }
    result = {"format": FORMAT, "version": VERSION, "header": header}
    result |= {"captions": {"available": why_not is None, "why_not": why_not}, **judged}
    result |= answer_scores.score(questions, given["answers"], given.get("blank"), tokens["recorded"])
    answer_tables.show(result)
    if out:
        write_json(out, result)
        print(out)


if __name__ == "__main__":
    ANSWERS = flags.DEFINE_string("answers", None, "JSON file of answers: a list, or a DriveLM submission.")
    TRUTH = flags.DEFINE_string(
        "truth", None, "DriveLM's question file, or a list with gt_answer; default: the recorded answers in --answers."
    )
    BLANK = flags.DEFINE_string("blank", None, "Answers of the same model to black images, to the same questions.")
    OUT = flags.DEFINE_string("out", None, "Write the scores into this JSON file, too.")
    JUDGE = flags.DEFINE_string(
        "judge", None, "Also grade with the LLaMA in this folder, which `python -m dima_jax.convert llama` wrote."
    )
    cli.run(main)
