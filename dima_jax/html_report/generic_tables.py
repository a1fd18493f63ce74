"""Tables of results whose keys this package does not know: reactions to edits.

Lists of entries are a table, and so is a dict of equal dicts; other dicts become a table of their numbers, followed by
those of what is nested in them.
"""

from typing import Any, NamedTuple

from dima_jax.html_report import words
from dima_jax.html_report.tables import Body, Cell, Row, Table

DEEPEST = 6  # levels


class Titled(NamedTuple):
    title: str
    table: Table


def tables(content: Any, title: str, depth: int = 0) -> list[Titled]:
    """The tables of a value of JSON; none of an empty one."""
    if content in (None, {}, []) or depth > DEEPEST:
        return []
    if isinstance(content, list):
        entries = [one if isinstance(one, dict) else {"value": one} for one in content]
        return [Titled(title, _table(title, [(_name(one, number), one) for number, one in enumerate(entries, 1)]))]
    if not isinstance(content, dict):
        return [Titled(title, _table(title, [("value", {"value": content})]))]
    if all(isinstance(one, dict) and _is_flat(one) for one in content.values()) and not _is_estimate(content):
        return [Titled(title, _table(title, list(content.items())))]
    plain = {key: one for key, one in content.items() if _is_leaf(one)}
    found = [Titled(title, _table(title, [(key, {"value": one}) for key, one in plain.items()]))] if plain else []
    for key, one in content.items():
        if key not in plain:
            found += tables(one, f"{title}: {words.label(str(key))}", depth + 1)
    return found


def _is_estimate(one: Any) -> bool:
    return isinstance(one, dict) and {"low", "high"} <= set(one) and bool({"value", "difference"} & set(one))


def _is_leaf(one: Any) -> bool:
    if _is_estimate(one):
        return True
    return not isinstance(one, (dict, list)) or (isinstance(one, list) and not any(isinstance(x, dict) for x in one))


def _is_flat(entry: dict) -> bool:
    return all(_is_leaf(one) for one in entry.values())


def _name(entry: dict, number: int) -> str:
    return str(next((entry[key] for key in ("row", "name", "planner", "id") if key in entry), number))


def _table(title: str, entries: list[tuple[str, dict]]) -> Table:
    """Rows by name. An estimate is one cell, "low" and "high" of an entry stand below its value."""
    keys = list(dict.fromkeys(key for _, entry in entries for key in _shown(entry)))
    rows = [Row(str(name), [_cell(entry, key) for key in keys]) for name, entry in entries]
    columns = [(words.label(str(key)), "") for key in keys]
    return Table(f"{title}.", "row", [], columns, [Body("", "", rows)])


def _shown(entry: dict) -> list[str]:
    hidden = {"row", "name", "planner", "id"} | ({"low", "high"} if _is_estimate(entry) else set())
    return [key for key in entry if key not in hidden]


def _cell(entry: dict, key: str) -> Cell:
    one = entry.get(key)
    if _is_estimate(one):
        inner = next(name for name in ("value", "difference") if name in one)
        return _cell(one, inner)
    if _is_estimate(entry) and key in ("value", "difference") and _is_number(one):
        ends = entry["low"], entry["high"]
        return Cell(_text(one), " to ".join(map(_text, ends)) if None not in ends else "", one)
    return Cell(_text(one), "", one if one is None or _is_number(one) else _text(one))


def _is_number(one: Any) -> bool:
    return isinstance(one, (int, float)) and not isinstance(one, bool)


def _text(one: Any) -> str:
    if one is None:
        return words.NOT_THERE
    if isinstance(one, bool):
        return "yes" if one else "no"
    if isinstance(one, float):
        return format(one, ".4g").replace("-", "−")
    return ", ".join(map(_text, one)) if isinstance(one, list) else str(one)
