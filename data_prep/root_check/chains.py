"""`prev` and `next`: every chain is one line of rows in order of time, of one scene, sensor or instance.

A chain whose `prev` mirrors `next`, whose times grow and that has one head for each scene (sensor, instance) has no
circle, leaves out no row and ends, so nobody has to follow it.
"""

from collections.abc import Iterator

import numpy as np

from data_prep.root_check.problems import ERROR, SKIP, Rows
from data_prep.root_check.schema import Table, pairs, shown
from data_prep.root_check.times import MAX_SPEED

CORRECT = "correct the track in sample_annotation.json"


def problems(tables: dict[str, Table]) -> Iterator[Rows]:
    """Needs the links of `references.resolve`."""
    sample, data, annotation = tables["sample"], tables["sample_data"], tables["sample_annotation"]
    scene_of = sample.links["scene_token"]
    yield from _chain(sample, ERROR, scene_of, "scene", sample["timestamp"])
    yield from _ends(sample, ERROR, tables["scene"], scene_of, "first_sample_token", "last_sample_token", "nbr_samples")

    sensor = tables["calibrated_sensor"].links["sensor_token"][data.links["calibrated_sensor_token"]]
    stream = pairs(scene_of[data.links["sample_token"]], sensor, tables["sensor"].count)
    yield from _chain(data, SKIP, stream, "scene and sensor", data["timestamp"])

    at, instance = annotation.links["sample_token"], annotation.links["instance_token"]
    yield from _chain(annotation, ERROR, instance, "instance", sample["timestamp"][at])
    names = ("first_annotation_token", "last_annotation_token", "nbr_annotations")
    yield from _ends(annotation, SKIP, tables["instance"], instance, *names)  # which nothing reads
    yield from _tracks(tables, at, scene_of)


def _tracks(tables: dict[str, Table], at: np.ndarray, scene_of: np.ndarray) -> Iterator[Rows]:
    """What boxes that follow each other have in common. at: the sample of every box; scene_of: the scene of every sample."""
    sample, annotation = tables["sample"], tables["sample_annotation"]
    rows = np.flatnonzero(annotation.links["next"] >= 0)
    following = annotation.links["next"][rows]
    is_other = scene_of[at[rows]] != scene_of[at[following]]
    yield Rows(ERROR, "sample_annotation", "next is of another scene", rows[is_other], _names("next"))
    gap = (sample.links["next"][at[rows]] != at[following]) & ~is_other
    yield Rows(
        SKIP, "sample_annotation", "a track leaves out key frames; its future is taken as if it did not", rows[gap],
        lambda row, _: f"next is {shown(row['next'])}, which is not of the next key frame", CORRECT,
    )  # fmt: skip
    if not len(rows):
        return
    step = annotation["translation"][following] - annotation["translation"][rows]
    seconds = (sample["timestamp"][at[following]] - sample["timestamp"][at[rows]]) * 1e-6
    yield Rows(
        SKIP, "sample_annotation", f"an object moves by less than {MAX_SPEED:.0f} m/s",
        rows[np.linalg.norm(step, axis=-1) > MAX_SPEED * np.abs(seconds)],
        lambda row, _: f"the box jumps to {shown(row['next'])}, which is its next", CORRECT,
    )  # fmt: skip


def _chain(table: Table, kind: str, group: np.ndarray, what: str, time: np.ndarray) -> Iterator[Rows]:
    """group, time: of every row."""
    following, before = table.links["next"], table.links["prev"]
    for forth, back, name, other in ((following, before, "next", "prev"), (before, following, "prev", "next")):
        rows = np.flatnonzero(forth >= 0)
        rows = rows[back[forth[rows]] != rows]
        yield Rows(
            kind,
            table.name,
            f"{name} is a row with another {other}",
            rows,
            _names(name, f", whose {other} is another row"),
        )
    rows = np.flatnonzero(following >= 0)
    moved = group[rows] != group[following[rows]]
    yield Rows(
        kind, table.name, f"next is of another {what}", rows[moved], _names("next", f", which is of another {what}")
    )
    late = time[following[rows]] <= time[rows]
    yield Rows(kind, table.name, "next is not later", rows[late], _names("next", ", which is not later"))
    heads = np.flatnonzero(before < 0)
    _, first, count = np.unique(group[heads], return_index=True, return_counts=True)
    more = np.setdiff1d(heads[np.isin(group[heads], group[heads[first[count > 1]]])], heads[first])
    yield Rows(
        kind, table.name, f"a second chain of one {what}", more, lambda row, _: f"begins a second chain of its {what}"
    )


def _ends(
    table: Table, kind: str, owner: Table, group: np.ndarray, first: str, last: str, number: str
) -> Iterator[Rows]:
    """The first, the last and the count of rows as another table says them. group: the owner of every row."""
    every = np.arange(owner.count)
    for name, link in ((first, "prev"), (last, "next")):
        end = owner.links[name]
        wrong = (group[end] != every) | (table.links[link][end] >= 0)
        yield Rows(
            kind,
            owner.name,
            f"{name} is not that",
            every[wrong],
            _names(name, f", which is not its {name.split('_')[0]}"),
        )
    count = np.bincount(group, minlength=owner.count)

    def detail(row: dict, i: int) -> str:
        return f"{number} is {row[number]}, but {table.name}.json has {count[i]}"

    yield Rows(kind, owner.name, f"{number} is not their number", every[count != owner[number]], detail)


def _names(field: str, words: str = ""):
    return lambda row, _: f"{field} is {shown(row[field])}{words}"
