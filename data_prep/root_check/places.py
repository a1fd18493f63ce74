"""Where a row of a table is: its token, and the scene and the sample that it belongs to as far as that can be told."""

import numpy as np

from data_prep.root_check.schema import Table

USERS = {  # {table: the table and the field that name its rows, for a place}
    "ego_pose": ("sample_data", "ego_pose_token"),
    "calibrated_sensor": ("sample_data", "calibrated_sensor_token"),
    "instance": ("sample_annotation", "instance_token"),
}


def place(tables: dict[str, Table], table: Table, row: dict) -> str:
    """ "TOKEN (scene NAME, sample TOKEN)" of a row, in tables that may be wrong anywhere."""
    scene = sample = ""
    if table.name == "scene":
        scene = row.get("name")
    elif table.name == "sample":
        scene, sample = _scene(tables, row.get("token")), row.get("token")
    elif "sample_token" in row:
        sample = row["sample_token"]
    elif table.name in USERS and (user := _user(tables, table.name, row.get("token"))):
        sample = user.get("sample_token")
    scene = scene or _scene(tables, sample)
    parts = [f"{what} {_text(name)}" for what, name in (("scene", scene), ("sample", sample)) if name]
    return f"{_text(row.get('token'))} ({', '.join(parts)})" if parts else _text(row.get("token"))


def _user(tables: dict[str, Table], used: str, token) -> dict | None:
    """The first row that names a row of the table `used` by its token."""
    name, field = USERS[used]
    if name not in tables or field not in tables[name].columns or not isinstance(token, str):
        return None
    found = np.flatnonzero(tables[name][field] == hash(token))
    return tables[name].some_rows({int(found[0])})[int(found[0])] if len(found) else None


def _scene(tables: dict[str, Table], sample) -> str:
    """The name of a sample's scene, "" if it has none."""
    rows = tables["sample"].rows if "sample" in tables else ()
    token = next((row.get("scene_token") for row in rows if row.get("token") == sample), None)
    rows = tables["scene"].rows if "scene" in tables else ()
    return next((row.get("name") for row in rows if token is not None and row.get("token") == token), "")


def _text(value) -> str:
    return value if isinstance(value, str) and value.isprintable() else ascii(value)
