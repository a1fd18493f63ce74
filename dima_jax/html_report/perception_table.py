"""The table of what a student found: every number of every task, with its interval where one is known."""

from dima_jax.html_report import words
from dima_jax.html_report.tables import Body, Cell, Row, Table


def table(told: dict) -> Table | None:
    """told: "perception" of scores.json (`scoring.perception.score`); None where there is none."""
    if not told:
        return None
    coverage = told["coverage"]
    scenes = "" if told["scenes"] is None else f" of {told['scenes']:,} scenes"
    caption = (
        f"What {told['planner']} found in {coverage['scored']:,} of {coverage['of']:,} frames{scenes}; 95 % intervals by "
        "resampling scenes. AP and shares in [0, 1], distances in meters."
    )
    bodies = [_body(told, task, scores) for task, scores in told["scores"].items()]
    return Table(caption, "number", [], [("value", ""), ("95 %", "")], bodies)


def _body(told: dict, task: str, scores: dict) -> Body:
    rows = []
    for name, value in scores.items():
        if name != "frames":
            ends = told["intervals"].get(task, {}).get(name)
            both = f"{words.number(ends[0], '')} to {words.number(ends[1], '')}" if ends and None not in ends else ""
            rows.append(Row(name.replace("_", " "), [Cell(words.number(value, ""), "", value), Cell(both, "", None)]))
    return Body(task, told["why_not"].get(task) or told["protocols"][task], rows)
