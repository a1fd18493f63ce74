"""What a scoring prints of perception: average precisions, then motion, each number with its interval."""

import math
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dima_jax.scoring import result as results
from dima_jax.scoring import tables


def print_all(told: dict, console: Console | None = None) -> None:
    """Prints `perception` of scores.json, as `perception.score` makes it."""
    console = console or Console(width=max(Console().width, tables.WIDTH))
    coverage = told["coverage"]
    scenes = "unknown scenes" if told["scenes"] is None else f"{told['scenes']:,} scenes"
    title = f"perception of {told['planner']} ({told['file']}), {coverage['scored']:,} frames of {scenes}"
    if coverage["scored"] < coverage["of"]:
        title += f"; {results.coverage(coverage['scored'], coverage['of'])}"
    table = Table()
    for column in ("protocol", "number"):
        table.add_column(column)
    for column in ("value", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    for task in told["scores"]:
        for cells in _rows(told, task):
            table.add_row(*cells)
        table.add_section()
    console.print()
    console.print(escape(title), highlight=False)
    console.print(table)
    for task, why in told["why_not"].items():
        console.print(f"{task}: not available, {why}", highlight=False)


def _rows(told: dict, task: str) -> Iterator[tuple[str, ...]]:
    head = escape(f"{task}: {told['protocols'][task]}")
    for name, value in told["scores"][task].items():
        if name != "frames":
            ends = told["intervals"][task].get(name)
            interval = "" if name not in told["intervals"][task] else "n/a" if ends is None else _interval(ends)
            yield head, name.replace("_", " "), _number(value), interval
            head = ""


def _number(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else format(value, ".3f")


def _interval(ends: list[float]) -> str:
    return " .. ".join(map(_number, ends))
