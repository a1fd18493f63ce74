"""The audit's table: what each changed input does to the plan, and what follows from it."""

from dima_jax.html_report import words
from dima_jax.html_report.tables import Body, Cell, Row, Table
from dima_jax.scoring import audit

CAPTION = (
    "The student on changed inputs, protocol {protocol}, {subset}; below each number its 95 % interval. Differences are "
    "paired: the same frames with the changed input minus as recorded."
)
COLUMNS = {  # title: (of the entry, unit, whether the sign is printed, explanation)
    "L2, m": ("l2", "m", "", "L2 avg"),
    "change, m": ("l2_difference", "m", "+", "L2 avg, minus that of the recorded input"),
    "collisions, %": ("collision", "share", "", "collision avg"),
    "change, %": ("collision_difference", "share", "+", "collision avg, minus that of the recorded input"),
}


def table(entries: list[dict]) -> Table | None:
    """entries: "audit" of scores.json (`audit.table`); None where there are none."""
    if not entries:
        return None
    rows = []
    for entry in entries:
        asks = entry["asks"] if entry["asks"] != entry["sentence"] else ""
        rows.append(_row(entry["row"].removeprefix(f"{audit.STUDENT}, "), asks, entry, entry["sentence"]))
        if "worst" in entry:
            rows.append(_row(f"{entry['worst']['camera']} black", "The worst of them.", entry["worst"], ""))
    columns = [(title, meaning) for title, (_, _, _, meaning) in COLUMNS.items()]
    caption = CAPTION.format(protocol=audit.PROTOCOL, subset=audit.SUBSET)
    return Table(caption, "input", [], [*columns, ("so", "")], [Body("", "", rows)])


def _row(name: str, note: str, entry: dict, sentence: str) -> Row:
    cells = [_cell(entry[key], unit, sign) for key, unit, sign, _ in COLUMNS.values()]
    return Row(name, [*cells, Cell(sentence, "", sentence)], note, "focus" if name == audit.STUDENT else "")


def _cell(one: dict | None, unit: str, sign: str) -> Cell:
    if one is None or one["value"] is None:
        return Cell("", "", None)
    return Cell(words.number(one["value"], unit, sign), words.interval(one, unit), one["value"])
