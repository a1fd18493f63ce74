"""Faults of a nuScenes root of the kinds that disks, scripts and people make, by a random generator.

Each function changes one file of a root; `FILES` says which may be changed how. Left out are values that are wrong but
possible (another pose nearby, another category of the same kind), which no check can tell.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_prep.nuscenes_schema import TABLES
from data_prep.root_check.schema import SCHEMA
from tests import tiny_root

WRONG = [
    None,
    True,
    "x",
    -1,
    0.5,
    math.nan,
    -math.inf,
    1e300,
    10**40,
    [],
    {},
    [None],
    "\ud800",
    "a\nb",
    "../a",
    "/etc/passwd",
]
POSSIBLE = {  # fields that hold any text, and tokens whose other values are possible, too
    ("scene", "description"),
    ("category", "name"),
    ("attribute", "name"),
    ("visibility", "level"),
    ("instance", "category_token"),
}
TIMED = ("ego_pose", "sample", "sample_data")


def pick(rng: np.random.Generator, items):
    return items[int(rng.integers(len(items)))]


def drop(rng, rows, table):
    del rows[int(rng.integers(len(rows)))]


def duplicate(rng, rows, table):
    rows.append(dict(pick(rng, rows)))


def duplicate_as_new(rng, rows, table):
    rows.append(pick(rng, rows) | {"token": "new"})


def shuffle_rows(rng, rows, table):
    rng.shuffle(rows)


def shuffle_keys(rng, rows, table):
    row = pick(rng, rows)
    keys = list(rng.permutation(list(row)))
    items = {str(key): row[key] for key in keys}
    row.clear()
    row.update(items)


def more_keys(rng, rows, table):
    pick(rng, rows)["more"] = pick(rng, WRONG[:-4])


def _fields(table, chosen: Callable) -> list[str]:
    return [name for name, kind in SCHEMA[table].items() if chosen(kind)]


def retarget(rng, rows, table):
    """A token becomes that of another row of the right table, or a link "", unless that is possible."""
    names = [name for name in _fields(table, lambda kind: kind.target) if (table, name) not in POSSIBLE]
    if not names:
        return drop(rng, rows, table)
    name = pick(rng, names)
    kind = SCHEMA[table][name]
    linked = [row for row in rows if table != "sample_annotation" or row["next"]]
    row = pick(rng, linked)
    others = [other["token"] for other in TABLE_ROWS[kind.target]] + [""] * kind.may_be_empty
    new = pick(rng, others)
    row[name] = [new] if kind.is_list else new
    return None


def lose(rng, rows, table):
    names = _fields(table, lambda kind: kind.target)
    pick(rng, rows).update({pick(rng, names) if names else "token": pick(rng, ["lost", "", "lost\nagain", ["lost"]])})


def loop(rng, rows, table):
    if "next" not in SCHEMA[table]:
        return duplicate(rng, rows, table)
    row, other = pick(rng, rows), pick(rng, rows)
    kind = int(rng.integers(3))
    if kind == 0:
        row["next"] = row["prev"] = row["token"]
    elif kind == 1:
        row["next"], other["prev"] = other["token"], row["token"]
    else:
        row["next"], other["next"] = other["next"], row["next"]
    return None


def wrong_type(rng, rows, table):
    names = [name for name in SCHEMA[table] if (table, name) not in POSSIBLE] or ["token"]
    pick(rng, rows)[pick(rng, names)] = pick(rng, WRONG)


def remove_field(rng, rows, table):
    row = pick(rng, rows)
    row.pop(pick(rng, [name for name in row if name in SCHEMA[table]] or ["token"]))


def wrong_number(rng, rows, table):
    """A number in a vector becomes none, or the vector has another length."""
    names = [name for name in ("translation", "rotation", "size", "camera_intrinsic") if name in SCHEMA[table]]
    if not names:
        return wrong_type(rng, rows, table)
    row, name = pick(rng, rows), pick(rng, names)
    value = json.loads(json.dumps(row[name])) or [[1.0]]
    place = int(rng.integers(len(value)))
    if rng.integers(4) == 0:
        value = value[:-1] if rng.integers(2) else value + value[:1]
    else:
        value[place] = pick(rng, [None, True, "x", math.nan, -math.inf, 1e300, 10**40, []])
    row[name] = value
    return None


def wrong_time(rng, rows, table):
    if "timestamp" not in SCHEMA[table]:
        return wrong_type(rng, rows, table)
    row, other = pick(rng, rows), pick(rng, rows)
    kind = int(rng.integers(3))
    if kind == 0:
        row["timestamp"], other["timestamp"] = other["timestamp"], row["timestamp"]
    else:
        row["timestamp"] += int(rng.integers(5_000, 20_000_000)) * (1 if kind == 1 else -1)
    return None


def wrong_text(rng, rows, table):
    """A file name leaves the root or is another row's; a name is another row's."""
    names = [name for name in ("filename", "name", "channel", "location") if name in SCHEMA[table]]
    names = [name for name in names if (table, name) not in POSSIBLE]
    if not names:
        return wrong_type(rng, rows, table)
    row, name = pick(rng, rows), pick(rng, names)
    other = pick(rng, rows)[name]
    row[name] = pick(
        rng, [other, other, "/etc/passwd", "../" + row[name], row[name] + "/../../x", "", "a\0b", "a\\b", "nowhere"]
    )
    return None


def jump(rng, rows, table):
    """A pose or a box is somewhere else altogether."""
    if "translation" not in SCHEMA[table]:
        return wrong_type(rng, rows, table)
    if table == "calibrated_sensor":
        return wrong_number(rng, rows, table)
    row = pick(rng, [row for row in rows if table != "sample_annotation" or row["next"] or row["prev"]])
    row["translation"] = [row["translation"][0] + 500.0, *row["translation"][1:]]
    return None


def flip(rng, rows, table):
    if table != "sample_data":
        return wrong_number(rng, rows, table)
    row = pick(rng, rows)
    row["is_key_frame"] = not row["is_key_frame"]
    return None


OF_ROWS = (
    drop, duplicate, duplicate_as_new, shuffle_rows, shuffle_keys, more_keys, retarget, retarget, lose, loop, wrong_type,
    remove_field, wrong_number, wrong_time, wrong_text, jump, flip,
)  # fmt: skip
TABLE_ROWS: dict[str, list[dict]] = {}  # of the undamaged root, set by the test


def of_table(rng: np.random.Generator, root: Path, table: str) -> tuple[Path, str, str]:
    """(file, what was done, new text) of one damaged table."""
    rows = json.loads(json.dumps(TABLE_ROWS[table]))
    change = pick(rng, OF_ROWS)
    change(rng, rows, table)
    return root / tiny_root.VERSION / f"{table}.json", change.__name__, json.dumps(rows)


def of_text(rng: np.random.Generator, path: Path) -> tuple[Path, str, str]:
    """A JSON file that is cut, or none."""
    text = path.read_text()
    texts = [
        text[: int(rng.integers(len(text)))], "", "<html></html>", "[" * 100_000, "{}", "null", "[1, 2]", text + "]",
        text.replace(",", ", ,", 1), "\ufeff" + text, "3", '"x"',
    ]  # fmt: skip
    return path, "of_text", pick(rng, texts)


def of_can_bus(rng: np.random.Generator, path: Path) -> tuple[Path, str, str]:
    messages = json.loads(path.read_text())
    message = pick(rng, messages)
    kind = int(rng.integers(10))
    if kind == 0:  # another order of keys
        messages = [dict(reversed(message.items())) for message in messages]
    elif kind == 1:
        messages.reverse()
    elif kind == 2:
        message.pop(pick(rng, list(message)))
    elif kind == 3:
        message[pick(rng, list(message))] = pick(rng, [one for one in WRONG if one not in (-1, 0.5)])
    elif kind == 4:
        for message in messages:
            message["utime"] += 3_600_000_000
    elif kind == 5:
        message["utime"] -= 1_000_000
    elif kind == 6:
        messages = messages[: len(messages) // 4]
    elif kind == 7:
        message["more"] = 3
    elif kind == 8:
        messages.insert(messages.index(message), dict(message))
    else:
        messages = pick(rng, [[], {}, {"messages": messages}, [messages]])
    return path, f"of_can_bus {kind}", json.dumps(messages)


def of_map(rng: np.random.Generator, path: Path) -> tuple[Path, str, str]:
    content = json.loads(path.read_text())
    kind = int(rng.integers(9))
    if kind == 0:
        content["version"] = pick(rng, ["1.2", "1.0", "", None, 1.3, "x", "1.4", "2.0", [1, 3]])
    elif kind == 1:
        del content[
            pick(rng, ["node", "line", "polygon", "lane", "road_segment", "ped_crossing", "version", "road_divider"])
        ]
    elif kind == 2:
        del content["node"][int(rng.integers(len(content["node"])))]
    elif kind == 3:
        pick(rng, content["node"])["x"] = pick(rng, [math.nan, math.inf, "x", None, [], True])
    elif kind == 4:
        pick(rng, content["node"])["token"] = content["node"][0]["token"] if rng.integers(2) else None
    elif kind == 5:
        content["polygon"][0]["exterior_node_tokens"] = pick(rng, [["lost"], [], "n0", None, [["n0"]]])
    elif kind == 6:
        content["road_segment"][0]["polygon_token"] = pick(rng, ["lost", None, 3, []])
    elif kind == 7:
        content["node"] = [node | {"x": node["x"] + 1e5} for node in content["node"]]
    else:
        content[pick(rng, ["node", "line", "polygon", "lane", "ped_crossing"])] = pick(rng, [None, 3, {}, [3], "x"])
    return path, f"of_map {kind}", json.dumps(content)


def of_splits(rng: np.random.Generator, root: Path) -> tuple[Path, str, str]:
    both = ["scene-0061", "scene-0103"]
    contents = [
        {"own_train": both, "own_val": both[1:]}, {"own_train": ["scene-0061"] * 2, "own_val": both[1:]}, {"own_train": both[:1]},
        {"own_train": [*both, "scene-9999"]}, {"own_train": []}, {}, [], {"own_train": "scene-0061"}, {"own_train": [1]},
        {"own_../x": both}, {"a_train": both[:1], "b_train": both[1:]}, {"own_train": [None]}, {"own_": both},
    ]  # fmt: skip
    return root / tiny_root.VERSION / "splits.json", "of_splits", json.dumps(pick(rng, contents))


def one(rng: np.random.Generator, root: Path) -> tuple[Path, str, str]:
    """(file, what was done, new text)."""
    kind = rng.integers(20)
    files = sorted((root / "can_bus").glob("*.json"))
    maps = sorted((root / "maps" / "expansion").glob("*.json"))
    if kind < 12:
        return of_table(rng, root, pick(rng, TABLES))
    if kind < 14:
        return of_table(
            rng, root, pick(rng, ("sample", "sample_data", "sample_annotation", "ego_pose", "scene", "instance"))
        )
    if kind < 16:
        tables = [root / tiny_root.VERSION / f"{name}.json" for name in TABLES]
        return of_text(rng, pick(rng, [*tables, *files, *maps]))
    if kind < 18:
        return of_can_bus(rng, pick(rng, files))
    return of_map(rng, pick(rng, maps)) if kind == 18 else of_splits(rng, root)
