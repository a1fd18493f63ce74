"""The tables of a nuScenes root, each row checked before the devkit indexes them.

The devkit believes its tables: a file that was cut, a field that is missing or a token that leads nowhere would end in an
exception that names neither file nor row. Schema: the nuScenes devkit's documentation, "schema_nuscenes".
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path

from nuscenes.nuscenes import NuScenes

from data_prep.nuscenes_schema import TABLES
from dima_jax.errors import UserError

REMEDY = "unpack the nuScenes metadata again"
NUMBER = (int, float)
FIELDS = {  # {table: {field that is read: its types}}
    "category": {"name": (str,)},
    "sensor": {"channel": (str,), "modality": (str,)},
    "calibrated_sensor": {"camera_intrinsic": (list,)},
    "log": {"location": (str,)},
    "map": {"filename": (str,), "log_tokens": (list,)},
    "scene": {"name": (str,), "description": (str,), "nbr_samples": (int,)},
    "sample": {"timestamp": (int,)},
    "sample_data": {
        "timestamp": (int,),
        "filename": (str,),
        "is_key_frame": (bool,),
        "height": (int,),
        "width": (int,),
    },
    "sample_annotation": {"num_lidar_pts": (int,), "num_radar_pts": (int,)},
}
POSE = {"translation": 3, "rotation": 4}
VECTORS = {  # {table: {field: how many numbers}}
    "ego_pose": POSE,
    "calibrated_sensor": POSE,
    "sample_annotation": POSE | {"size": 3},
}
FINITE = ("ego_pose", "calibrated_sensor")  # a box that is not finite is reported with its scene (`agents.py`)
TOKENS = {  # {table: {field: the table that its token, or its tokens, are of}}
    "calibrated_sensor": {"sensor_token": "sensor"},
    "instance": {
        "category_token": "category",
        "first_annotation_token": "sample_annotation",
        "last_annotation_token": "sample_annotation",
    },
    "scene": {"log_token": "log", "first_sample_token": "sample", "last_sample_token": "sample"},
    "sample": {"scene_token": "scene", "prev": "sample", "next": "sample"},
    "sample_data": {
        "sample_token": "sample",
        "ego_pose_token": "ego_pose",
        "calibrated_sensor_token": "calibrated_sensor",
        "prev": "sample_data",
        "next": "sample_data",
    },
    "sample_annotation": {
        "sample_token": "sample",
        "instance_token": "instance",
        "visibility_token": "visibility",
        "attribute_tokens": "attribute",
        "prev": "sample_annotation",
        "next": "sample_annotation",
    },
}
OPTIONAL = ("prev", "next", "visibility_token")  # may be ""


class Tables(NuScenes):
    """The devkit's tables. Raises UserError naming file, row and field where a table is not whole."""

    def __init__(self, root: Path, version: str):
        self._folder = root / version
        try:
            super().__init__(version=version, dataroot=str(root), verbose=False)
        except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:  # what is beyond the schema
            detail = f"{type(error).__name__}: {error}"
            raise UserError(f"{self._folder}: the nuScenes devkit cannot read it ({detail}); {REMEDY}") from None

    def __load_table__(self, table_name: str) -> list[dict]:
        return read_table(self._folder, table_name)

    def __make_reverse_index__(self, verbose: bool) -> None:
        known = {table: {row["token"] for row in getattr(self, table)} for table in TABLES}
        for table, fields in TOKENS.items():
            for field, target in fields.items():
                self._check_tokens(table, field, target, known[target])
        with_map = {token for row in self.map for token in row["log_tokens"]}
        if without := next((row["token"] for row in self.log if row["token"] not in with_map), None):
            raise UserError(f"{self._folder / 'map.json'}: no row has the log {without!r} of log.json; {REMEDY}")
        super().__make_reverse_index__(verbose)

    def _check_tokens(self, table: str, field: str, target: str, known: set[str]) -> None:
        accepted = known | {""} if field in OPTIONAL else known
        for row in getattr(self, table):
            found = row.get(field)
            for token in found if isinstance(found, list) else (found,):
                if not isinstance(token, str) or token not in accepted:
                    where = f"{self._folder / table}.json: {row['token']}"
                    raise UserError(f"{where}: {field} is {token!r}, which is not in {target}.json; {REMEDY}")


def read_json(path: Path, remedy: str):
    """The content of a JSON file. Raises UserError when it is none."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {remedy}") from None


def read_table(folder: Path, table: str) -> list[dict]:
    """The rows of a table. Raises UserError for a row without its token or a field of FIELDS or VECTORS."""
    path = folder / f"{table}.json"
    rows = read_json(path, REMEDY)
    if table not in TABLES:  # the devkit opens a few more where they are
        return rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: no list of rows; {REMEDY}")
    seen = set()
    for i, row in enumerate(rows):
        token = row.get("token")
        if not isinstance(token, str) or token in seen:
            raise UserError(f"{path}: row {i} has the token {token!r}, which is none, or is there twice; {REMEDY}")
        seen.add(token)
        for field, types in FIELDS.get(table, {}).items():
            if type(row.get(field)) not in types:
                raise UserError(f"{path}: {token}: {field} is {row.get(field)!r}; {REMEDY}")
        for field, count in VECTORS.get(table, {}).items():
            _check_vector(row.get(field), count, table in FINITE, f"{path}: {token}: {field}")
        if table in FINITE and not any(row["rotation"]):
            raise UserError(f"{path}: {token}: rotation is zero; {REMEDY}")
        if row.get("camera_intrinsic"):
            for line in _check_list(row["camera_intrinsic"], 3, f"{path}: {token}: camera_intrinsic"):
                _check_vector(line, 3, True, f"{path}: {token}: camera_intrinsic")
    return rows


def _check_list(value, count: int, where: str) -> Iterable:
    if not isinstance(value, list) or len(value) != count:
        raise UserError(f"{where} is {value!r}, not {count} of them; {REMEDY}")
    return value


def _check_vector(value, count: int, finite: bool, where: str) -> None:
    for number in _check_list(value, count, where):
        if type(number) not in NUMBER or (finite and not math.isfinite(number)):
            raise UserError(f"{where} holds {number!r}; {REMEDY}")
