"""What a student's plans hang on, in one table: each variant of its input beside the student itself, and a sentence.

Made of the content of scores.json, so of the same frames, draws and protocol as all else; docs/scores/audit.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dima_jax.scoring import statistics, verdicts

KIND = "audit"  # of planner: `kind` in the header of such a row's plans
STUDENT = "student"  # the base row: every input as recorded
PROTOCOL, SUBSET = "stp3_vad", "all frames"
PAIRED = "differences over the frames of both"
DISTANCE, COLLISION = "l2_avg", "collision_avg"
WORSE, BETTER, UNDECIDED, UNCHANGED = "worse", "better", "undecided", "unchanged"
TOO_FEW = verdicts.TOO_FEW
VERDICTS = {verdicts.A_BETTER: WORSE, verdicts.B_BETTER: BETTER}  # of the student minus the row; the rest as they are
ONE_CAMERA = "one camera black"


class Row(NamedTuple):
    """What a row asks, and what follows. subject, many: how a sentence begins, and whether it is a plural.

    worse, better, undecided: what is concluded where L2 rises, where it falls, and where neither can be told.
    """

    asks: str
    subject: str
    many: bool
    worse: str
    better: str
    undecided: str


def row(what: str) -> str:
    """The name of the student's row with a changed input."""
    return f"{STUDENT}, {what}"


def black(camera: str) -> str:
    """What is changed in the row of a lost camera."""
    return f"{camera} black"


def _lost_cameras(scores: dict) -> dict[str, str]:
    """{camera: its row} of the rows of lost cameras."""
    before, after = row(black("\n")).split("\n")
    rows = [name for name in scores if name.startswith(before) and name.endswith(after)]
    return {name.removeprefix(before).removesuffix(after): name for name in rows}


def _needed(name: str) -> tuple[str, str, str]:
    """Conclusions about what a plan should depend on."""
    return (
        f"the plan depends on {name}",
        f"the plan would be better without {name}",
        f"nothing shows that the plan depends on {name}",
    )


def _shortcut(name: str) -> tuple[str, str, str]:
    """Conclusions about what a plan may use, but need not hang on."""
    return (
        f"the plan hangs on {name}",
        f"the plan would be better without {name}",
        f"the plan does not hang on {name}, as far as these scenes tell",
    )


CAMERA = Row(
    "Does the plan survive the loss of a camera? Mean over all, and the worst.",
    "One black camera",
    False,
    "the plan suffers",
    "the plan is better without it",
    "the plan survives, as far as these scenes tell",
)
BASE = "Every input as recorded, the recorded command among them: what the other rows are compared with."
ROWS: dict[str, Row] = {
    row("blank images"): Row("Does it look at all?", "Black images", True, *_needed("the cameras")),
    row("another scene's images"): Row(
        "Does it matter what the images show?", "Another scene's images", True, *_needed("what the cameras show")
    ),
    row("shuffled cameras"): Row(
        "Does it matter which camera an image is of?",
        "Shuffled cameras",
        True,
        *_needed("which camera shows what"),
    ),
    row("no previous BEV"): Row(
        "Does the memory of the frame before help?", "No previous BEV", False, *_needed("the previous BEV")
    ),
    row("CAN bus zeroed"): Row(
        "How much of the plan is the ego's own motion?", "A zeroed CAN bus", False, *_shortcut("the CAN bus")
    ),
    row("speed x0.5"): Row(
        "Does the plan follow the speed that it is told, or the one that it sees?",
        "Half the speed",
        False,
        *_shortcut("the speed that it is told"),
    ),
    row("speed x1.5"): Row(
        "The same, too fast.", "One and a half times the speed", False, *_shortcut("the speed that it is told")
    ),
    row("always straight"): Row(
        'Does the command matter? The same input as no command: "straight" is what stands in its place.',
        'The command "straight" throughout',
        False,
        *_needed("the command"),
    ),
}


def table(result: dict) -> list[dict]:
    """An entry for the student and for each variant of it that the result holds, in the order of `ROWS`.

    result: the content of scores.json. Entry: row, asks, frames (that row and student share), l2 and collision (value, low, high of the row), l2_difference
    and collision_difference (the row minus the student, paired), verdict, sentence; of the lost cameras also worst, a
    camera. Meters, and shares in [0, 1]; None where there is no number. [] without the protocol or without any variant.
    """
    scores = result["scores"].get(PROTOCOL, {}).get(SUBSET, {})
    lost = _lost_cameras(scores)
    names = [*ROWS, *lost.values()]
    pairs = {
        (one["b"], one["column"]): one
        for one in result["differences"].get(PROTOCOL, {}).get(SUBSET, [])
        if one["a"] == STUDENT and one["b"] in names
    }
    found = [name for name in names if name in scores and (name, DISTANCE) in pairs]
    if not found:
        return []
    entries = [_entry(STUDENT, BASE, scores[STUDENT], None) | {"sentence": BASE}]
    for name in found:
        if name in ROWS:
            entry = _entry(name, ROWS[name].asks, scores[name], (pairs[name, DISTANCE], pairs.get((name, COLLISION))))
            entries.append(entry | {"sentence": _sentence(ROWS[name], entry)})
    cameras = {camera: name for camera, name in lost.items() if name in found}
    return [*entries, _cameras(cameras, scores, pairs)] if cameras else entries


def print_table(entries: Sequence[dict], console: Console | None = None) -> None:
    """Prints what `table` made; nothing where it is empty."""
    if not entries:
        return
    console = console or Console()
    printed = Table(title=f"audit: the student on changed inputs ({PROTOCOL}; {PAIRED})", title_justify="left")
    printed.add_column("row", min_width=18)
    for head in ("L2 avg\nm", "minus student\nm, 95 %", "collision avg\n%", "minus student\n%, 95 %"):
        printed.add_column(head, justify="right", no_wrap=True)
    for entry in entries:
        name = entry["row"]
        if entry["frames"] < entries[0]["frames"]:
            name += f" ({entry['frames']:,} frames)"
        name += f"\nworst: {entry['worst']['camera']}" if "worst" in entry else ""
        cells = [[_cells(one, unit) for one in parts] for parts, unit in _lines(entry)]
        printed.add_row(escape(name), *("\n".join(cell) for pair in cells for cell in zip(*pair, strict=True)))
    console.print(printed)
    for entry in entries:
        console.print(escape(entry["sentence"]), highlight=False, soft_wrap=True)


def _lines(entry: dict) -> list[tuple[list[tuple[dict | None, dict | None]], str]]:
    rows = [entry, *([entry["worst"]] if "worst" in entry else [])]
    return [
        ([(one["l2"], one["l2_difference"]) for one in rows], "m"),
        ([(one["collision"], one["collision_difference"]) for one in rows], "share"),
    ]


def _cells(pair: tuple[dict | None, dict | None], unit: str) -> tuple[str, str]:
    value, difference = pair
    return (
        "n/a" if value is None or value["value"] is None else _number(value["value"], unit),
        "" if difference is None or difference["value"] is None else _with_interval(difference, unit),
    )


def _entry(name: str, asks: str, scores: dict, pairs: tuple[dict, dict | None] | None) -> dict:
    differences = [None, None] if pairs is None else [_turned(one) for one in pairs]
    return {
        "row": name,
        "asks": asks,
        "frames": (scores[DISTANCE] if pairs is None else pairs[0])["frames"],
        "l2": _kept(scores.get(DISTANCE)),
        "l2_difference": differences[0],
        "collision": _kept(scores.get(COLLISION)),
        "collision_difference": differences[1],
        "verdict": None if pairs is None else _verdict(pairs[0]),
    }


def _kept(one: dict | None) -> dict | None:
    return None if one is None else {key: one[key] for key in ("value", "low", "high")}


def _turned(one: dict | None) -> dict | None:
    """The row minus the student, of the student minus the row."""
    if one is None:
        return None
    ends = {"value": one["difference"], "low": one["high"], "high": one["low"]}
    return {key: None if number is None else 0.0 - number for key, number in ends.items()}


def _verdict(one: dict) -> str | None:
    """Of the student minus a row. UNCHANGED: to the last digit, in every scene."""
    if one["difference"] == one["low"] == one["high"] == 0:
        return UNCHANGED
    return VERDICTS.get(one["verdict"], one["verdict"])


def _sentence(text: Row, entry: dict, of: str = "") -> str:
    """The difference in words, and what follows from it. of: of which part, where not of the whole."""
    difference, s = entry["l2_difference"], "" if text.many else "s"
    if difference["value"] is None:
        return f"{text.subject}{of}: no frame tells."
    by = f"{_number(abs(difference['value']), 'm')} m"
    if entry["verdict"] == UNCHANGED:
        return f"{text.subject}{of} change{s} nothing: this student is not given another input, or does not read it."
    if entry["verdict"] == TOO_FEW:
        return (
            f"{text.subject}{of} move{s} L2 by {_number(difference['value'], 'm', '+')} m, in too few scenes to tell "
            f"(fewer than {statistics.FEWEST_RANKED})."
        )
    if entry["verdict"] == UNDECIDED:
        ends = _with_interval(difference, "m")
        return f"{text.subject}{of} cannot be told apart from the recorded input (L2 {ends} m): {text.undecided}."
    low, high = sorted(abs(difference[end]) for end in ("low", "high"))
    verb, why = ("raise", text.worse) if entry["verdict"] == WORSE else ("lower", text.better)
    return f"{text.subject}{of} {verb}{s} L2 by {by} [{_number(low, 'm')}, {_number(high, 'm')}]: {why}."


def _cameras(names: dict[str, str], scores: dict, pairs: dict) -> dict:
    """The rows of the lost cameras as one: means, whose intervals are not known, and the worst with its own."""
    every = {
        camera: _entry(name, "", scores[name], (pairs[name, DISTANCE], pairs.get((name, COLLISION))))
        for camera, name in names.items()
    }
    camera, worst = max(every.items(), key=lambda item: item[1]["l2_difference"]["value"] or 0.0)
    numbers = ("l2", "l2_difference", "collision", "collision_difference")
    mean = {key: _mean([one[key] for one in every.values()]) for key in numbers}
    told = {"row": row(ONE_CAMERA), "asks": CAMERA.asks, "frames": worst["frames"], **mean, "verdict": worst["verdict"]}
    average = mean["l2_difference"]
    lead = "" if average is None else f"A black camera moves L2 by {_number(average['value'], 'm', '+')} m on average. "
    sentence = f"{lead}{_sentence(CAMERA, worst, f' ({camera}, the worst)')}"
    return told | {"worst": {"camera": camera} | {key: worst[key] for key in numbers}, "sentence": sentence}


def _mean(numbers: Sequence[dict | None]) -> dict | None:
    known = [one["value"] for one in numbers if one is not None and one["value"] is not None]
    return {"value": sum(known) / len(known), "low": None, "high": None} if known else None


def _with_interval(one: dict, unit: str) -> str:
    number = _number(one["value"], unit, "+")
    if one["low"] is None:
        return number
    return f"{number} [{_number(one['low'], unit, '+')}, {_number(one['high'], unit, '+')}]"


def _number(value: float, unit: str, sign: str = "") -> str:
    """Without its unit; shares in percent."""
    scale, form, _ = verdicts.FORMS[unit]
    return format(scale * value, f"{sign}{form}")
