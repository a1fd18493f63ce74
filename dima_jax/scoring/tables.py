"""What a scoring prints: verdicts first, then one table for each protocol, what could not be computed, and the audit."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dima_jax.scoring import audit, subsets, verdicts
from dima_jax.scoring import result as results

WIDTH, WIDEST = 130, 500  # columns: at least, and a table's at most


def print_all(result: dict, console: Console | None = None) -> None:
    """Prints the content of scores.json."""
    console = console or Console(width=max(Console().width, WIDTH))
    truth = result["header"]["truth"]
    scenes = "unknown scenes" if truth["scenes"] is None else f"{truth['scenes']:,} scenes"
    console.print(f"truth {truth['content_hash']}: {truth['frames']:,} frames of {scenes}", highlight=False)
    for planner in result["planners"]:
        if planner["file"] and planner["kind"] != audit.KIND:
            console.print(_planner(planner), highlight=False)
    beside = dict.fromkeys(one["name"] for one in result["planners"] if not one["file"])
    console.print(escape(f"beside: {', '.join(beside)}"), highlight=False)
    console.print()
    for sentence in (shown := _first_sentences(result)):
        console.print(escape(sentence), highlight=False)
    if more := len(result["verdicts"]) - len(shown):
        console.print(
            f"{more} more sentences by the other protocols: in the JSON, and on the page that --report writes."
        )
    if result["comparisons"]:
        console.print(
            f"{result['comparisons']:,} comparisons in all, each at 95 %: of planners that are equal in truth, one in "
            "twenty looks different.",
            highlight=False,
        )
    for name, protocol in result["protocols"].items():
        console.print()
        if protocol["available"]:
            table = _table(result, name, protocol)
            console.width = max(
                console.width, console.measure(table, options=console.options.update(width=WIDEST)).maximum
            )
            console.print(table)
            _print_notes(console, protocol)
        else:
            console.print(f"{name}: not available, {protocol['why_not']}", highlight=False)
    if groups := [name for name in result["subsets"] if name != subsets.ALL]:
        console.print()
        words = (
            f"the same of other groups of frames, in the JSON and on the page that --report writes: {', '.join(groups)}"
        )
        console.print(escape(words), highlight=False)
    if "audit" in result:
        console.print()
        audit.print_table(result["audit"], console)


def _first_sentences(result: dict) -> list[str]:
    """The verdicts by the first protocol that has any; where planners are not ranked, what says so."""
    for name in result["protocols"]:
        if found := [one for one in result["verdicts"] if one.startswith(f"{name}, ")]:
            return found
    return result["verdicts"]


def _planner(planner: dict) -> str:
    scored, of = planner["coverage"]["scored"], planner["coverage"]["of"]
    parts = [planner["file"] or planner["kind"], f"measured at the {_point(planner['frame'])}"]
    parts += [results.coverage(scored, of)] if scored < of else []
    return escape(f"{planner['row']}: {', '.join(parts)}")


def _point(frame: str) -> str:
    return {"lidar": "LiDAR", "ego": "ego's origin"}[frame]


def _table(result: dict, name: str, protocol: dict) -> Table:
    definition = protocol["definition"]
    groups = _groups(definition, protocol["columns_not_available"])
    title = f"{name} ({definition['title']}), version {protocol['version']}, definition {protocol['definition_hash']}"
    shown = [one for one in result["planners"] if one["kind"] != audit.KIND]  # those have a table of their own
    partial = [one["coverage"] for one in shown if one["coverage"]["scored"] < one["coverage"]["of"]]
    if partial:
        least = min(partial, key=lambda one: one["scored"])
        title += f"; {results.coverage(least['scored'], least['of'])}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("planner", min_width=18)
    for head, _, has_interval in groups:
        table.add_column(head, justify="right", no_wrap=True)
        if has_interval:
            table.add_column("avg\n95 %", justify="right", no_wrap=True)
    planners = result["scores"][name].get(subsets.ALL, {})
    entered = max((one["frames"] for columns in planners.values() for one in columns.values()), default=0)
    if entered:
        table.add_row(_subset(subsets.ALL, entered, result["subsets"][subsets.ALL]))
        for planner in dict.fromkeys(one["name"] for one in shown):
            table.add_row(escape(planner), *_cells(planners[planner], groups))
    return table


def _groups(definition: dict, lacking: dict) -> list[tuple[str, list[tuple[str, str]], bool]]:
    """(head, its columns with their units, whether the last has an interval): an average stands with its columns.

    lacking: columns that are left out.
    """
    quantity = {column["name"]: column["quantity"] for column in definition["columns"]}
    unit = {name: definition["quantities"][of] for name, of in quantity.items()}
    groups, done = [], set()
    for name, members in definition["averages"].items():
        done |= set(members)
        if not lacking.keys() & set(members):
            stem = name.removesuffix("_avg")
            shown = (*members, name) if len(members) > 1 else (name,)
            parts = " ".join(member.removeprefix(f"{stem}_") for member in shown)
            head = f"{_words(stem)} {_form(unit[members[0]])[2]}\n{parts}"
            groups.append((head, [(one, unit[members[0]]) for one in shown], True))
    alone = [name for name in quantity if name not in done and name not in lacking]
    return groups + [(f"{_words(name)}\n{_form(unit[name])[2]}", [(name, unit[name])], False) for name in alone]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _subset(name: str, entered: int, subset: dict) -> str:
    scenes = subset["scenes"]
    note = "" if scenes is None else f", {scenes} {'scene' if scenes == 1 else 'scenes'}"
    return f"[bold]{escape(name)}[/]\n{entered:,} frames{note}"


def _cells(columns: dict, groups: list[tuple[str, list[tuple[str, str]], bool]]) -> list[str]:
    cells = []
    for _, members, has_interval in groups:
        cells.append(" ".join(_number(columns[name]["value"], unit) for name, unit in members))
        if has_interval:
            name, unit = members[-1]
            ends = [_number(columns[name][end], unit) for end in ("low", "high")]
            cells.append("n/a" if columns[name]["low"] is None else " .. ".join(ends))
    return cells


def _form(unit: str) -> tuple[float, str, str]:
    return verdicts.FORMS.get(unit, (1.0, ".3f", ""))


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
    reasons: dict[str, list[str]] = {}
    for column, why in protocol["columns_not_available"].items():
        reasons.setdefault(why, []).append(column)
    for why, columns in reasons.items():
        console.print(f"{', '.join(columns)}: not available, {why}", highlight=False)
