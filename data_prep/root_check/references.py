"""Every token leads to a row, and every log to a map if there are any.

A token's column is given up once it is a link, so that a table of millions of rows holds either.
"""

from collections.abc import Iterator

import numpy as np

from data_prep.root_check.places import USERS
from data_prep.root_check.problems import ERROR, Rows
from data_prep.root_check.schema import SCHEMA, Table, shown

EMPTY_TEXT = hash("")  # what stands for "" in a column


def resolve(tables: dict[str, Table], has_maps: bool) -> Iterator[Rows]:
    """Sets `links` of every table, and finds the tokens that lead nowhere. has_maps: every log needs one."""
    for target, fields_to in _fields_by_target().items():
        order = np.argsort(tables[target]["token"], kind="stable")
        known = tables[target].columns.pop("token")[order]
        order = order.astype(np.int32)
        for name, field in fields_to:
            yield from _resolve(tables[name], field, target, known, order)
    log_numbers = tables["map"].links["log_tokens"]
    without = np.setdiff1d(np.arange(tables["log"].count), log_numbers) if has_maps else np.zeros(0, np.int64)
    yield Rows(
        ERROR, "log", "no row of map.json has the log", without, lambda row, _: "no row of map.json has this log"
    )


def _fields_by_target() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for name, schema in SCHEMA.items():
        for field, kind in schema.items():
            if kind.target:
                found.setdefault(kind.target, []).append((name, field))
    return found


def _resolve(table: Table, field: str, target: str, known: np.ndarray, order: np.ndarray) -> Iterator[Rows]:
    kind = SCHEMA[table.name][field]
    owners, tokens = table.lists[field] if kind.is_list else (None, table[field])
    place = np.searchsorted(known, tokens)
    place[place == len(known)] = 0
    is_there = known[place] == tokens if len(known) else np.zeros(len(tokens), bool)
    table.links[field] = order[place] if len(known) else place
    table.links[field][~is_there] = -1
    if (table.name, field) not in USERS.values():
        table.columns.pop(field, None)
    if kind.is_open:
        return
    lost = ~is_there & (tokens != EMPTY_TEXT) if kind.may_be_empty else ~is_there

    def detail(row: dict, _: int) -> str:
        return f"{field} is {shown(row[field])}, which is not in {target}.json"

    wrong = np.flatnonzero(lost) if owners is None else np.unique(owners[lost])
    yield Rows(ERROR, table.name, f"{field} is not in {target}.json", wrong, detail)
