"""The whole check, part after part; a part that needs what an earlier one found wrong is left out."""

from pathlib import Path

import numpy as np

from data_prep.nuscenes_schema import TABLES
from data_prep.root_check import (
    calibration,
    can_bus,
    chains,
    files,
    maps,
    references,
    schema,
    splits,
    times,
)
from data_prep.root_check.problems import ERROR, Files, Rows
from data_prep.root_check.reading import REMEDY
from data_prep.root_check.report import Report
from data_prep.root_check.schema import Table
from dima_jax.errors import UserError


def check(dataroot: str, version: str) -> Report:
    """What is wrong with a root: tables, splits, files, CAN bus and maps. No image is opened."""
    report, tables, key = _check_tables(Path(dataroot), version)
    if tables:
        root, names = Path(dataroot), {row["name"] for row in tables["scene"].rows}
        try:
            used = {name for group in splits.scenes(root / version, names).values() for name in group}
            report.add(splits.problems(root / version, names), tables)
            report.add(files.problems(root, tables, key, used), tables)
            report.add(can_bus.problems(root, tables, used), tables)
            report.add(maps.problems(root, tables, key, used), tables)
        except UserError as error:
            report.add_error(error)
    return report


def check_tables(dataroot: str, version: str) -> Report:
    """What is wrong with the 13 tables of a root."""
    return _check_tables(Path(dataroot), version)[0]


def _check_tables(root: Path, version: str) -> tuple[Report, dict[str, Table] | None, np.ndarray]:
    """The report; the tables, and the key rows of `times.key_rows`, unless there are errors."""
    report, nothing = Report(str(root), version), np.zeros(0, np.int64)
    try:
        require_folders(root, version)
    except UserError as error:
        report.add_error(error)
        return report, None, nothing
    tables, problems = {}, []
    for name in TABLES:
        try:
            tables[name], found = schema.read(root / version, name)
            problems += found
        except UserError as error:
            report.add_error(error)
    report.rows = {name: table.count for name, table in tables.items()}
    report.add(problems, tables)
    report.add(_empty(tables), tables)
    if report.of_kind(ERROR):
        return report, None, nothing
    report.add(references.resolve(tables, maps.are_there(root)), tables)
    if report.of_kind(ERROR):
        return report, None, nothing
    report.add(_unique(tables), tables)
    report.add(chains.problems(tables), tables)
    key, problems = times.key_rows(tables)
    report.add(problems, tables)
    report.add(calibration.names(tables), tables)
    if report.of_kind(ERROR):
        return report, None, nothing
    report.add(times.problems(tables, key), tables)
    report.add(calibration.problems(tables, key), tables)
    return (report, None, nothing) if report.of_kind(ERROR) else (report, tables, key)


def require_folders(root: Path, version: str) -> None:
    """Raises UserError for a root without the folder of the tables, or without one of them."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --dataroot is the folder that holds samples/, maps/ and {version}/")
    folder = root / version
    if not folder.is_dir():
        have = sorted(p.parent.name for p in root.glob("*/scene.json"))
        raise UserError(f"{folder}: no such folder; --version should be one of {have or 'the folders with scene.json'}")
    for name in TABLES:
        if not (folder / f"{name}.json").is_file():
            raise UserError(f"{folder}/{name}.json: missing table; unpack the nuScenes metadata of {version} again")


def _empty(tables: dict[str, Table]) -> list[Files]:
    """The tables without a row of which at least one is needed; what the others must have, their tokens tell."""
    paths = [str(tables[name].path) for name in ("scene", "sample") if name in tables and not tables[name].count]
    return [Files(ERROR, path, "a table has rows", [f"{path}: has no rows"], REMEDY) for path in paths]


def _unique(tables: dict[str, Table]) -> list[Rows]:
    """Rows that may be there once only."""
    annotation = tables["sample_annotation"]
    pair = schema.pairs(annotation.links["sample_token"], annotation.links["instance_token"], tables["instance"].count)
    return [
        Rows(
            ERROR, "sample_annotation", "a sample has an instance once", schema.repeated(pair),
            lambda row, _: f"its sample has the instance {row['instance_token']!r} twice",
        ),
        Rows(
            ERROR, "scene", "a scene's name is its own", schema.repeated(tables["scene"]["name"]),
            lambda row, _: f"another scene has the name {row['name']!r} as well",
        ),
        Rows(
            ERROR, "sensor", "a channel is of one sensor", schema.repeated(tables["sensor"]["channel"]),
            lambda row, _: f"another sensor has the channel {row['channel']!r} as well",
        ),
    ]  # fmt: skip
