"""Tables of the page, as data that the template writes: the headline, one of each protocol, and whatever else is there."""

from typing import NamedTuple

from dima_jax.html_report import series, words
from dima_jax.scoring import subsets


class Cell(NamedTuple):
    """text, and a smaller one below it. value: what the table is sorted by, None for nothing."""

    text: str
    small: str = ""
    value: float | str | None = None


class Row(NamedTuple):
    """name: of the row; note: below it; kind: a class."""

    name: str
    cells: list[Cell]
    note: str = ""
    kind: str = ""


class Body(NamedTuple):
    """Rows that are sorted among themselves. title: "" for none."""

    title: str
    note: str
    rows: list[Row]


class Table(NamedTuple):
    """caption: what a reader is told; groups: (title, how many columns), none if empty; corner: over the rows' names.

    columns: (title, explanation).
    """

    caption: str
    corner: str
    groups: list[tuple[str, int]]
    columns: list[tuple[str, str]]
    bodies: list[Body]


def headline(result: dict) -> Table | None:
    """Every planner by the averages of every protocol, over all frames; None where there are none."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for name, protocol in result["protocols"].items():
        for column, unit in _headlines(protocol):
            title = f"{words.label(column)}{f', {words.unit(unit)}' if words.unit(unit) else ''}"
            groups.setdefault(title, []).append((name, column, unit))
    wanted = [one for group in groups.values() for one in group]
    planners = dict.fromkeys(planner for name, _, _ in wanted for planner in _all(result, name))
    planners = [planner for planner in planners if planner not in series.audited(result)]
    rows = []
    for planner in planners:
        cells = [_cell(_all(result, name).get(planner, {}).get(column), unit) for name, column, unit in wanted]
        rows.append(_row(result, planner, cells))
    if not rows:
        return None
    caption = "All frames of each protocol; below each number its 95 % interval, from resampling scenes."
    columns = [(name, result["protocols"][name]["definition"]["title"]) for name, _, _ in wanted]
    return Table(
        caption, "planner", [(title, len(group)) for title, group in groups.items()], columns, [Body("", "", rows)]
    )


def _headlines(protocol: dict) -> list[tuple[str, str]]:
    """(column, unit): distance and collisions, or every score."""
    if not protocol["available"]:
        return []
    definition, lacking = protocol["definition"], protocol["columns_not_available"]
    found = []
    for name, members in definition["averages"].items():
        quantity = next(one["quantity"] for one in definition["columns"] if one["name"] == members[0])
        unit = definition["quantities"][quantity]
        if (name in ("l2_avg", "collision_avg") or unit == words.SCORE) and not lacking.keys() & set(members):
            found.append((name, unit))
    return found


def _all(result: dict, protocol: str) -> dict:
    return result["scores"].get(protocol, {}).get(subsets.ALL, {})


def _row(result: dict, planner: str, cells: list[Cell]) -> Row:
    files = [one for one in result["planners"] if one["name"] == planner]
    kind = files[0]["kind"] if files else ""
    scored = min((one["coverage"]["scored"] for one in files), default=0)
    of = files[0]["coverage"]["of"] if files else 0
    notes = [f"{len(files)} seeds"] if len(files) > 1 else []
    notes += [f"scored {scored:,} of {of:,} frames"] if scored < of else []
    return Row(planner, cells, ", ".join(notes), kind)


def _cell(one: dict | None, unit: str) -> Cell:
    if one is None or one["value"] is None:
        return Cell(words.NOT_THERE)
    return Cell(words.number(one["value"], unit), words.interval(one, unit), one["value"])


class Shown(NamedTuple):
    """A protocol's tables: all frames, and the other subsets; lacking: what is not available, and why."""

    name: str
    title: str
    version: int
    hash: str
    why_not: str | None
    table: Table | None
    others: Table | None
    notes: list[str]
    lacking: list[tuple[str, str]]
    terms: list[tuple[str, str]]
    rules: list[tuple[str, str]]


def protocol(result: dict, name: str) -> Shown:
    """Everything of one protocol."""
    told = result["protocols"][name]
    definition = told["definition"]
    shown = Shown(
        name,
        definition["title"],
        told["version"],
        told["definition_hash"],
        told["why_not"],
        None,
        None,
        [],
        [],
        words.terms(definition),
        words.rules(definition),
    )
    if not told["available"]:
        return shown
    groups, columns, names = _columns(definition, told["columns_not_available"])
    bodies = [_body(result, name, subset, names) for subset in result["scores"].get(name, {})]
    bodies = [one for one in bodies if one.rows]
    tables = [
        Table(f"{definition['title']}; {what}.", "planner", groups, columns, some) if some else None
        for what, some in (("all frames", bodies[:1]), ("groups of frames", bodies[1:]))
    ]
    reasons: dict[str, list[str]] = {}
    for column, why in told["columns_not_available"].items():
        reasons.setdefault(why, []).append(words.label(column))
    lacking = [(", ".join(names), why) for why, names in reasons.items()]
    return shown._replace(table=tables[0], others=tables[1], notes=_notes(told), lacking=lacking)


def _columns(definition: dict, lacking: dict):
    """(groups, titles of columns, [(column, unit)]): an average stands with its columns."""
    quantity = {column["name"]: column["quantity"] for column in definition["columns"]}
    unit = {name: definition["quantities"][of] for name, of in quantity.items()}
    meanings, groups, names, done = dict(words.terms(definition)), [], [], set()
    for average, members in definition["averages"].items():
        done |= set(members)
        if not lacking.keys() & set(members):
            of, stem = unit[members[0]], average.removesuffix("_avg")
            more = [one for one in quantity if one == f"{stem}_all"]
            done |= set(more)
            printed = words.unit(of)
            groups.append((f"{words.label(stem)}{f', {printed}' if printed else ''}", len(members) + 1 + len(more)))
            names += [(one, of, _short(one, stem)) for one in (*members, average, *more)]
    for one in quantity:
        if one not in done and one not in lacking:
            printed = words.unit(unit[one])
            groups.append((printed or words.SCORE, 1))
            names.append((one, unit[one], words.label(one)))
    return groups, [(title, meanings.get(name, "")) for name, _, title in names], [(name, of) for name, of, _ in names]


def _short(name: str, stem: str) -> str:
    rest = name.removeprefix(f"{stem}_")
    return f"{rest[:-1]} s" if rest[:-1].isdigit() and rest.endswith("s") else rest


def _body(result: dict, name: str, subset: str, names: list[tuple[str, str]]) -> Body:
    group, audited = result["subsets"][subset], series.audited(result)
    planners = {one: columns for one, columns in result["scores"][name][subset].items() if one not in audited}
    entered = max((one["frames"] for columns in planners.values() for one in columns.values()), default=0)
    if not entered:
        return Body(subset, "", [])
    scenes = group["scenes"]
    note = f"{entered:,} frames"
    note += "" if scenes is None else f" of {scenes:,} {'scene' if scenes == 1 else 'scenes'}"
    note += "" if group["ranked"] else "; too few scenes to rank planners"
    rows = [
        _row(result, planner, [_cell(columns.get(column), unit) for column, unit in names])
        for planner, columns in planners.items()
    ]
    return Body(subset, note, rows)


def _notes(told: dict) -> list[str]:
    recorded = told["recorded_collisions"]
    notes = [f"Masks: {told['definition']['mask_rule']}."]
    if recorded["any"] is not None:
        at = ", ".join(f"{100 * one:.2f}" for one in recorded["at_step"])
        notes.append(
            f"The recorded path itself, without any exemption, collides in {100 * recorded['any']:.2f} % of "
            f"{recorded['frames']:,} frames (step by step: {at} %)."
        )
    return notes


def planners(result: dict) -> Table:
    """Who is scored, and what is known of their files."""
    rows = []
    for one in result["planners"]:
        given = ", ".join(f"{key} {value}" for key, value in one["given"].items())
        scored, of = one["coverage"]["scored"], one["coverage"]["of"]
        what = one["file"] or words.CONTROLS.get(one["name"].partition(" (")[0], "")
        texts = (one["kind"], what, words.POINTS.get(one["frame"], one["frame"]), f"{scored:,} of {of:,}", given)
        rows.append(Row(one["row"], [Cell(text, value=text) for text in texts], kind=one["kind"]))
    titles = ("kind", "file, or what it does", "distances are of", "frames scored", "was told")
    return Table("Whose plans are scored.", "planner", [], [(title, "") for title in titles], [Body("", "", rows)])
