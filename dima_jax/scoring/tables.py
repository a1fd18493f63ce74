"""What a scoring prints: verdicts first, then one table for each protocol, then what could not be computed."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dima_jax.scoring import result as results
from dima_jax.scoring import statistics, subsets

WIDTH = 130  # columns, at least
FORMS = {"m": (1.0, ".2f", "m"), "share": (100.0, ".2f", "%")}  # by unit: scale, form, how the unit is printed


def print_all(result: dict, console: Console | None = None) -> None:
    """Prints the content of scores.json."""
    console = console or Console(width=max(Console().width, WIDTH))
    truth = result["header"]["truth"]
    scenes = "unknown scenes" if truth["scenes"] is None else f"{truth['scenes']:,} scenes"
    console.print(f"truth {truth['content_hash']}: {truth['frames']:,} frames of {scenes}", highlight=False)
    for planner in result["planners"]:
        console.print(_planner(planner), highlight=False)
    console.print()
    for sentence in result["verdicts"]:
        console.print(escape(sentence), highlight=False)
    if result["comparisons"]:
        console.print(
            f"{result['comparisons']:,} comparisons in all, each at 95 %: of planners that are equal in truth, one in "
            "twenty looks different.",
            highlight=False,
        )
    for name, protocol in result["protocols"].items():
        console.print()
        if protocol["available"]:
            console.print(_table(result, name, protocol))
            _print_notes(console, protocol)
        else:
            console.print(f"{name}: not available, {protocol['why_not']}", highlight=False)


def _planner(planner: dict) -> str:
    scored, of = planner["coverage"]["scored"], planner["coverage"]["of"]
    parts = [planner["file"] or planner["kind"], f"measured at the {_point(planner['frame'])}"]
    parts += [results.coverage(scored, of)] if scored < of else []
    return escape(f"{planner['row']}: {', '.join(parts)}")


def _point(frame: str) -> str:
    return {"lidar": "LiDAR", "ego": "ego's origin"}[frame]


def _table(result: dict, name: str, protocol: dict) -> Table:
    definition = protocol["definition"]
    unit = _units(definition)
    title = f"{name} ({definition['title']}), version {protocol['version']}, definition {protocol['definition_hash']}"
    partial = [one["coverage"] for one in result["planners"] if one["coverage"]["scored"] < one["coverage"]["of"]]
    if partial:
        least = min(partial, key=lambda one: one["scored"])
        title += f"; {results.coverage(least['scored'], least['of'])}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("planner", min_width=18)
    for column, one in unit.items():
        first, _, last = column.rpartition("_")
        table.add_column(
            f"{(first or column).replace('_', ' ')}\n{last if first else ''} {_form(one)[2]}", justify="right"
        )
        if column in definition["averages"]:
            table.add_column(f"95 %\n{_form(one)[2]}", justify="right")
    for subset, planners in result["scores"][name].items():
        entered = max((one["frames"] for columns in planners.values() for one in columns.values()), default=0)
        if entered:
            table.add_row(_subset(subset, entered, result["subsets"][subset]))
            for planner, columns in planners.items():
                table.add_row(escape(planner), *_cells(columns, unit, definition["averages"]))
            table.add_section()
    return table


def _units(definition: dict) -> dict[str, str]:
    """{column or average: its unit}, each average after the columns that it is of."""
    quantity = {column["name"]: column["quantity"] for column in definition["columns"]}
    last = {members[-1]: name for name, members in definition["averages"].items()}
    found = {}
    for column, of in quantity.items():
        found[column] = definition["quantities"][of]
        if column in last:
            found[last[column]] = found[column]
    return found


def _subset(name: str, entered: int, subset: dict) -> str:
    scenes = subset["scenes"]
    note = "" if scenes is None else f", {scenes} {'scene' if scenes == 1 else 'scenes'}"
    unranked = "" if subset["ranked"] or name == subsets.ALL else f"\nnot ranked: < {statistics.FEWEST_RANKED} scenes"
    return f"[bold]{escape(name)}[/]\n{entered:,} frames{note}{unranked}"


def _cells(columns: dict, unit: dict[str, str], averages: dict) -> list[str]:
    cells = []
    for column, one in unit.items():
        found = columns[column]
        cells.append(_number(found["value"], one))
        if column in averages:
            ends = [_number(found[end], one) for end in ("low", "high")]
            cells.append("n/a" if found["low"] is None else " .. ".join(ends))
    return cells


def _form(unit: str) -> tuple[float, str, str]:
    return FORMS.get(unit, (1.0, ".3f", ""))


def _number(value: float | None, unit: str) -> str:
    scale, form, _ = _form(unit)
    return "n/a" if value is None else format(scale * value, form)


def _print_notes(console: Console, protocol: dict) -> None:
    definition = protocol["definition"]
    console.print(f"masks: {escape(definition['mask_rule'])}", highlight=False)
    recorded = protocol["recorded_collisions"]
    if recorded["any"] is not None:
        at = ", ".join(f"{100 * one:.2f}" for one in recorded["at_step"])
        console.print(
            f"the recorded path itself collides in {100 * recorded['any']:.2f} % of {recorded['frames']:,} frames "
            f"(step by step: {at} %)",
            highlight=False,
        )
    for column, why in protocol["columns_not_available"].items():
        console.print(f"{column}: not available, {why}", highlight=False)
