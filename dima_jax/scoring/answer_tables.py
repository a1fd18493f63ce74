"""The scores of answers on the screen: what the images did, in sentences, then tables."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dima_jax.scoring.answer_scores import BETTER, TOO_FEW, UNDECIDED

NAMES = {  # title, factor, unit
    "accuracy": ("accuracy: equal to what was recorded", 100, " %"),
    "match": ("match: F1 of the points", 100, " %"),
    "exact": ("word for word as recorded", 100, " %"),
    "choice": ("multiple choice: right", 100, " %"),
    "choice_given": ("multiple choice: takes an option", 100, " %"),
    "yes_no": ("yes or no: right", 100, " %"),
    "yes_no_given": ("yes or no: says one", 100, " %"),
    "coordinates": ("points within 16 pixels: F1", 100, " %"),
    **{f"bleu_{order}": (f"BLEU-{order}", 1, "") for order in range(1, 5)},
    "rouge_l": ("ROUGE-L", 1, ""),
    "cider": ("CIDEr", 1, ""),
    "judge": ("local judge: mean grade", 100, " %"),
}
GIVEN = ("choice_given", "yes_no_given")  # how an answer is put, not whether it is right
WORDS = {TOO_FEW: "too few to say", UNDECIDED: "cannot be told apart", BETTER: "better with images"}


def show(result: dict[str, Any]) -> None:
    """Prints everything of `answer_scores.score` with the header of `score_answers`."""
    header = result["header"]
    console = Console(width=max(Console().width, 120))
    for sentence in sentences(result):
        console.print(sentence, highlight=False, soft_wrap=True, markup=False)
    title = f"{header['questions']:,} questions, {header['frames']:,} frames, {header['scenes']:,} scenes"
    if result["drivelm"]["available"]:
        table = Table("score", "questions", "value", title=f"DriveLM's own scores; {title}", title_justify="left")
        for name, row in result["drivelm"]["scores"].items():
            table.add_row(NAMES[name][0], f"{row['questions']:,}", escape(_value(name, row)))
        console.print(table)
    columns = [
        "kind",
        "score",
        "questions",
        "value",
        *(["blank images", "difference", ""] if "blank" in result else []),
    ]
    table = Table(*columns, title=f"By kind of question; {title}", title_justify="left")
    for group, rows in result["groups"].items():
        for name, row in rows.items():
            cells = [
                group if name == next(iter(rows)) else "",
                NAMES[name][0],
                f"{row['questions']:,}",
                _value(name, row),
            ]
            if "blank" in result:
                other = result["blank"]["differences"][group][name]
                cells += [
                    _number(name, other["blank"]),
                    _value(name, other, "difference", "+"),
                    _word(other["verdict"]),
                ]
            table.add_row(*map(escape, cells), end_section=name == list(rows)[-1])
    console.print(table)


def sentences(result: dict[str, Any]) -> list[str]:
    """What is to be known before the numbers are read."""
    found = []
    if "blank" in result:
        rows = result["blank"]["differences"]["all"]
        for name, row in rows.items():
            if name not in GIVEN:
                found.append(
                    f"{NAMES[name][0]}, with images {_number(name, result['groups']['all'][name]['value'])}, with blank "
                    f"images {_number(name, row['blank'])}: {_word(row['verdict'])} "
                    f"({_value(name, row, 'difference', '+')}, {row['questions']:,} questions)."
                )
        unchanged = result["blank"]["unchanged"]
        found.append(f"{100 * unchanged['value']:.1f} % of the answers are the same with blank images.")
    for part in ("captions", "drivelm"):
        if not result[part]["available"]:
            name = {"captions": "BLEU, ROUGE-L, CIDEr", "drivelm": "DriveLM's own scores"}[part]
            found.append(f"{name}: not available: {result[part]['why_not']}.")
    if result["drivelm"]["available"] and (left_out := result["drivelm"]["left_out"]):
        found.append(
            f"DriveLM's rule leaves {left_out:,} questions out: they are about objects that the frame's first answer does "
            "not name."
        )
    if "judge" in result:
        same, other = result["judge"]["recorded_answer"], result["judge"]["another_answer"]
        found.append(
            f"The judge gives the recorded answers themselves {100 * same:.1f} % and those of other questions "
            f"{100 * other:.1f} %; between the two lies what its grades can tell."
        )
    drawn = f"{result['units']:,} {result['resampled']}"
    narrow = "" if result["resampled"] == "scenes" else "; frames of a scene resemble each other: too narrow"
    found.append(f"In brackets: 95 % intervals, {result['resamples']:,} resamples of {drawn}{narrow}.")
    return found


def _word(verdict: str) -> str:
    return WORDS.get(verdict, "worse with images")


def _number(name: str, value: float | None, sign: str = "") -> str:
    if value is None:
        return "n/a"
    _, factor, unit = NAMES[name]
    digits = 1 if factor == 100 else 3
    return f"{round(factor * value, digits) + 0.0:{sign}.{digits}f}{unit}"  # and not -0.0


def _value(name: str, row: dict[str, Any], key: str = "value", sign: str = "") -> str:
    text = _number(name, row[key], sign)
    if row["low"] is None:
        return text
    ends = (_number(name, row[end], sign).removesuffix(" %") for end in ("low", "high"))
    return f"{text} [{', '.join(ends)}]"
