"""The page of a study: verdicts first, effect sizes with intervals, scores, learning curves, and what the arms are.

One HTML file with everything in it; it needs no network and no script to be read.
"""

import json
from pathlib import Path
from typing import NamedTuple

from dima_jax.html_report import study_charts, templates, words
from dima_jax.html_report.charts import Chart
from dima_jax.html_report.tables import Body, Cell, Row, Table
from dima_jax.output_files import json_text, new_file

NAME = "index.html"
MAIN, HITS = "l2_avg", "collision_avg"


class ArmFacts(NamedTuple):
    """What an arm is. lines: config lines; facts: what else is known of it."""

    name: str
    tests: str
    lines: list[str]
    facts: list[str]


def write(path: str | Path, result: dict) -> Path:
    """Writes the page of the content of study.json and returns its path. UserError where it cannot be written."""
    with new_file(path) as part:
        part.write_text(render(result), encoding="utf-8", errors="replace")
    return Path(path)


def render(result: dict) -> str:
    """The text of the page. A number that is not finite is shown like one that is not there."""
    result = json.loads(json_text(result))
    return templates.render(
        "study.html.j2",
        style=templates.text("page.css"),
        more_style=templates.text("study.css"),
        script=templates.text("page.js"),
        header=result["header"],
        plan=result["plan"],
        missing=[arm["name"] for arm in result["arms"] if not arm["done"]],
        verdicts=[words.kept_together(one) for one in result["verdicts"]],
        forests=forests(result),
        differences=differences(result),
        scores=scores(result),
        curves=study_charts.curves(result, "l2_student", "l2_teacher", "m"),
        losses=study_charts.curves(result, "plan_loss", None, ""),
        power=power(result),
        arms=arms(result),
    )


def forests(result: dict) -> list[Chart]:
    """The main difference of every arm, and that of collisions, on every group of frames."""
    charts = []
    for subset, found in result["differences"].items():
        for column in (MAIN, HITS):
            rows = {
                arm: found[arm][column]
                for arm in result["order"]
                if arm in found and found[arm][column]["low"] is not None
            }
            if rows:
                charts.append(study_charts.forest(result, subset, column, rows))
    return charts


def differences(result: dict) -> Table | None:
    """Every arm minus the reference, over all frames; None where nothing can be compared."""
    (subset, found), *_ = result["differences"].items()
    columns = [column for column in result["units"] if column in (MAIN, HITS) or column.startswith("l2")]
    titles = [(f"{words.label(column)}, {_unit(result, column)}", "") for column in columns]
    titles += [("of the reference", "L2 avg, the difference as a share of the reference's"), ("detectable, m", "")]
    own = result["scores"][subset].get(result["plan"]["reference"], {}).get(MAIN, {}).get("value")
    rows = []
    for arm in result["order"]:
        one = found[arm]
        cells = [
            _cell({**one[column], "value": one[column]["difference"]}, result["units"][column], "+")
            for column in columns
        ]
        change = one[MAIN]["difference"]
        share = None if not own or change is None else change / own
        least = (result["power"]["measured"].get(arm) or {}).get("detectable")
        cells += [
            Cell(f"{words.number(share, 'share', '+')} %" if share is not None else words.NOT_THERE, "", share),
            Cell(_meters(least), "", least),
        ]
        rows.append(Row(arm, cells))
    if not rows:
        return None
    caption = (
        f"Each arm minus {result['plan']['reference']}, vector mode, {subset}; below each number its 95 % interval. "
        "Negative: the arm is better. Detectable: what so many seeds and scenes show with a probability of 80 %."
    )
    return Table(caption, "arm", [], titles, [Body("", "", rows)])


def scores(result: dict) -> Table:
    """Every arm on every group of frames."""
    columns = list(result["units"])
    bodies = []
    for subset, found in result["scores"].items():
        rows = [
            Row(arm, [_cell(one[column], result["units"][column], "") for column in columns])
            for arm, one in found.items()
        ]
        bodies.append(Body(subset, f"{result['subsets'][subset]['frames']:,} frames", rows))
    titles = [(f"{words.label(column)}, {_unit(result, column)}", "") for column in columns]
    caption = (
        f"Vector mode, protocol {result['header']['protocol']}: means over {result['plan']['seeds']} seeds; below each "
        "number its 95 % interval, from resampling scenes and seeds."
    )
    return Table(caption, "arm", [], titles, bodies)


def power(result: dict) -> list[str]:
    """What was to be expected, and what is measured, in sentences."""
    told = result["power"]
    lines = [
        f"Before any arm was trained, a difference of {_meters(told['assumed']['detectable'])} m was expected to show."
    ]
    known = {arm: one for arm, one in told["measured"].items() if one}
    if known:
        worst = max(known, key=lambda arm: known[arm]["detectable"])
        best = min(known, key=lambda arm: known[arm]["detectable"])
        lines.append(
            f"Measured, differences of {_meters(known[best]['detectable'])} m ({best}) to {_meters(known[worst]['detectable'])} m "
            f"({worst}) show with a probability of 80 %."
        )
    return lines


def arms(result: dict) -> list[ArmFacts]:
    """In the order of the plan."""
    found = []
    for arm in result["arms"]:
        facts = [f"taught by {arm['teacher']}"] if arm["teacher"] else []
        facts += [f"{arm['steps']:,} steps"] if arm["steps"] != result["plan"]["steps"] else []
        facts += ["the reference"] if arm["name"] == result["plan"]["reference"] else []
        facts += ["told nothing of the scene"] if arm["name"] == result["plan"]["blind"] else []
        seeds = result["seeds"].get(arm["name"])
        if seeds:
            facts.append(f"L2 of each seed: {', '.join(f'{one:.3f}' for one in seeds)} m")
        facts.append(f"{arm['seconds']:.0f} s" if arm["done"] else "not trained yet")
        found.append(ArmFacts(arm["name"], arm["tests"], _lines(arm["lines"]), facts))
    return found


def _lines(lines: dict) -> list[str]:
    return [f"{key}={value}" for key, value in lines.items()]


def _unit(result: dict, column: str) -> str:
    return words.unit(result["units"][column])


def _meters(value: float | None) -> str:
    return words.NOT_THERE if value is None else f"{value:.3f}"


def _cell(one: dict, unit: str, sign: str) -> Cell:
    """Meters with a digit more than elsewhere: arms differ by centimeters."""
    if one["value"] is None:
        return Cell(words.NOT_THERE)
    return Cell(study_charts.number(one["value"], unit, sign), study_charts.interval(one, unit, sign), one["value"])
