"""Where a row of a table is: its token, and the scene and the sample that it belongs to as far as that can be told."""

import numpy as np

from data_prep.root_check.schema import Table

USERS = {  # {table: the table and the field that name its rows, for a place}
    "ego_pose": ("sample_data", "ego_pose_token"),
    "calibrated_sensor": ("sample_data", "calibrated_sensor_token"),
    "instance": ("sample_annotation", "instance_token"),
}


def places(tables: dict[str, Table], table: Table, rows: list[dict]) -> list[str]:
    """ "TOKEN (scene NAME, sample TOKEN)" of each row, in tables that may be wrong anywhere."""
    users = _users(tables, table.name, [row.get("token") for row in rows])
    return [_place(tables, table, row, user) for row, user in zip(rows, users, strict=True)]


def _place(tables: dict[str, Table], table: Table, row: dict, user: dict | None) -> str:
    scene = sample = ""
    if table.name == "scene":
        scene = row.get("name")
    elif table.name == "sample":
        scene, sample = _scene(tables, row.get("token")), row.get("token")
    elif "sample_token" in row:
        sample = row["sample_token"]
    elif user:
        sample = user.get("sample_token")
    scene = scene or _scene(tables, sample)
    parts = [f"{what} {_text(name)}" for what, name in (("scene", scene), ("sample", sample)) if name]
    return f"{_text(row.get('token'))} ({', '.join(parts)})" if parts else _text(row.get("token"))


def _users(tables: dict[str, Table], used: str, tokens: list) -> list[dict | None]:
    """For each token of the table `used`, the first row that names it; their large table is read once."""
    name, field = USERS.get(used, ("", ""))
    if name not in tables or field not in tables[name].columns:
        return [None] * len(tokens)
    hashes = [hash(token) if isinstance(token, str) else None for token in tokens]
    found = np.flatnonzero(np.isin(tables[name][field], [one for one in hashes if one is not None]))
    values, first = np.unique(tables[name][field][found], return_index=True)
    number = dict(zip(values.tolist(), found[first].tolist(), strict=True))
    rows = tables[name].some_rows(set(number.values()))
    return [rows[number[one]] if one in number else None for one in hashes]


def _scene(tables: dict[str, Table], sample) -> str:
    """The name of a sample's scene, "" if it has none."""
    rows = tables["sample"].rows if "sample" in tables else ()
    token = next((row.get("scene_token") for row in rows if row.get("token") == sample), None)
    rows = tables["scene"].rows if "scene" in tables else ()
    return next((row.get("name") for row in rows if token is not None and row.get("token") == token), "")


def _text(value) -> str:
    return value if isinstance(value, str) and value.isprintable() else ascii(value)
