"""The schema of the 13 tables, and the reading of one table into columns.

Source: the nuScenes devkit's documentation, "schema_nuscenes". Fields that nothing reads may be absent.
"""

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np

from data_prep.nuscenes_schema import CAMERA, TABLES
from data_prep.root_check import fields, reading
from data_prep.root_check.problems import ERROR, Rows

POSE = {"translation": fields.position(), "rotation": fields.quaternion()}
LINKS = {"prev", "next"}
TIME = fields.whole(1)
MODALITIES = (CAMERA, "lidar", "radar")
SCHEMA: dict[str, dict[str, fields.Field]] = {
    "category": {"name": fields.text()},
    "attribute": {"name": fields.text()},
    "visibility": {"level": fields.text()},
    "instance": {
        "category_token": fields.token("category"),
        "nbr_annotations": fields.whole(1),
        "first_annotation_token": fields.token("sample_annotation"),
        "last_annotation_token": fields.token("sample_annotation"),
    },
    "sensor": {"channel": fields.word(), "modality": fields.one_of(*MODALITIES)},
    "calibrated_sensor": {"sensor_token": fields.token("sensor"), **POSE, "camera_intrinsic": fields.intrinsic()},
    "ego_pose": {"timestamp": TIME, **POSE},
    "log": {"location": fields.word()},
    "scene": {
        "name": fields.word(),
        "description": fields.text(),
        "nbr_samples": fields.whole(1),
        "log_token": fields.token("log"),
        "first_sample_token": fields.token("sample"),
        "last_sample_token": fields.token("sample"),
    },
    "sample": {
        "timestamp": TIME,
        "scene_token": fields.token("scene"),
        "prev": fields.token("sample", may_be_empty=True),
        "next": fields.token("sample", may_be_empty=True),
    },
    "sample_data": {
        "timestamp": TIME,
        "filename": fields.file_name(),
        "is_key_frame": fields.flag(),
        "height": fields.whole(0, 2**15),
        "width": fields.whole(0, 2**15),
        "sample_token": fields.token("sample"),
        "ego_pose_token": fields.token("ego_pose"),
        "calibrated_sensor_token": fields.token("calibrated_sensor"),
        "prev": fields.token("sample_data", may_be_empty=True),
        "next": fields.token("sample_data", may_be_empty=True),
    },
    "sample_annotation": {
        **POSE,
        "size": fields.size(),
        "num_lidar_pts": fields.whole(0, 2**31),
        "num_radar_pts": fields.whole(0, 2**31),
        "sample_token": fields.token("sample"),
        "instance_token": fields.token("instance"),
        "visibility_token": fields.token("visibility", may_be_empty=True),
        "attribute_tokens": fields.tokens("attribute"),
        "prev": fields.token("sample_annotation", may_be_empty=True),
        "next": fields.token("sample_annotation", may_be_empty=True),
    },
    # nuScenes' maps name the logs of all its versions
    "map": {"filename": fields.file_name(), "log_tokens": fields.tokens("log", is_open=True)},
}
assert set(SCHEMA) == set(TABLES)
EMPTY = np.zeros(0, np.int64)
LONGEST_SHOWN = 120  # characters of a value
LARGE = ("instance", "ego_pose", "sample_data", "sample_annotation")  # whose rows are not kept
DROPPED = {  # columns that are checked alone: {table: fields}
    "sample_annotation": ("rotation", "size", "num_lidar_pts", "num_radar_pts"),
}


class _Column:
    """Rows of an array that grows where it is, so that reading a table leaves no holes in memory."""

    def __init__(self):
        self._array, self._count = EMPTY, 0

    def add(self, rows: np.ndarray) -> None:
        first, self._count = self._count, self._count + len(rows)
        if not first:
            self._array = rows.copy()
        elif self._count > len(self._array):
            longer = max(self._count, first + first // 4)
            self._array.resize((longer, *rows.shape[1:]), refcheck=False)
        self._array[first : self._count] = rows

    def whole(self) -> np.ndarray:
        self._array.resize((self._count, *self._array.shape[1:]), refcheck=False)
        return self._array


class Table:
    """One table as columns.

    count: of rows; columns: {field: array}, strings as `fields.hashes`; lists: {field: (numbers of rows, hashes)} of a
    list of tokens; links: {field: int32 numbers of the rows that a token is of, -1 for ""}, set by `references.py` in place
    of columns; rows: all rows of a small table; key_files: {number of row: file name} of sample_data's key frames.
    """

    def __init__(self, folder: Path, name: str):
        self.name, self.path, self.count = name, folder / f"{name}.json", 0
        self.columns: dict[str, np.ndarray] = {}
        self.lists: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.links: dict[str, np.ndarray] = {}
        self.rows: list[dict] = []
        self.key_files: dict[int, str] = {}

    def __getitem__(self, field: str) -> np.ndarray:
        return self.columns[field]

    def some_rows(self, numbers: set[int]) -> dict[int, dict]:
        """{number: row}."""
        if self.name not in LARGE:
            return {number: self.rows[number] for number in numbers}
        return reading.rows_at(self.path, numbers)


def read(folder: Path, name: str) -> tuple[Table, list[Rows]]:
    """A table, and what is wrong with its rows; one with wrong rows has no columns.

    Raises UserError for a file that is no table.
    """
    table = Table(folder, name)
    schema = {"token": fields.token(), **SCHEMA[name]}
    columns = {field: (_Column(), _Column()) for field in schema}  # the second of tokens in lists
    wrong: dict[str, list[int]] = {field: [] for field in schema}
    for batch in reading.batches(table.path):
        for field, kind in schema.items():
            values = _column(batch, field)
            packed = kind.pack(values)
            if packed is None:
                wrong[field] += [table.count + i for i, value in enumerate(values) if not kind.fits(value)]
            elif field not in DROPPED.get(name, ()):
                for column, rows in zip(columns[field], packed if kind.is_list else (packed,), strict=False):
                    column.add(rows)
        if name not in LARGE:
            table.rows += batch
        if name == "sample_data":
            table.key_files |= {table.count + i: row["filename"] for i, row in enumerate(batch) if _is_named_key(row)}
        table.count += len(batch)
    problems = list(_wrong_rows(name, schema, wrong))
    if not problems:
        _pack(table, schema, columns)
        problems += _repeated(table)
    return table, problems


def _column(rows: list[dict], field: str) -> list:
    """The values of a field, None where a row lacks it."""
    try:
        return list(map(itemgetter(field), rows))
    except KeyError:
        return [row.get(field) for row in rows]


def _is_named_key(row: dict) -> bool:
    return row.get("is_key_frame") is True and type(row.get("filename")) is str


def _pack(table: Table, schema: dict[str, fields.Field], columns: dict[str, tuple[_Column, _Column]]) -> None:
    for field, (first, tokens) in columns.items():
        if schema[field].is_list:
            table.lists[field] = np.repeat(np.arange(table.count), first.whole()), tokens.whole()
        elif field not in DROPPED.get(table.name, ()):
            table.columns[field] = first.whole()


def _wrong_rows(name: str, schema: dict[str, fields.Field], wrong: dict[str, list[int]]) -> Iterator[Rows]:
    for field, numbers in wrong.items():
        if numbers:
            words = schema[field].words

            def detail(row: dict, number: int, field=field, words=words) -> str:
                return f"row {number}: {field} is {shown(row.get(field))}, not {words}"

            yield Rows(ERROR, name, f"{field} is not {words}", np.array(numbers), detail)


def _repeated(table: Table) -> list[Rows]:
    numbers = repeated(table["token"])
    rule = "a token is there twice"
    return [Rows(ERROR, table.name, rule, numbers, lambda row, i: f"row {i}: its token is there twice")] * bool(
        len(numbers)
    )


def repeated(values: np.ndarray) -> np.ndarray:
    """The places of values that stand further ahead already."""
    order = np.argsort(values, kind="stable")
    return np.sort(order[1:][values[order[1:]] == values[order[:-1]]])


def pairs(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """One number for each pair of row numbers; the second ones are below `count`."""
    return first.astype(np.int64) * count + second


def shown(value) -> str:
    """A value in a message: one line, of bounded length."""
    text = ascii(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
