"""What a truth file takes from nuScenes' tables, which records do not hold: visibility, attributes, traffic lights."""

import numpy as np

from data_prep.nuscenes_schema import TRAFFIC_LIGHTS
from data_prep.root_check.reading import read_json
from data_prep.scenes import Root
from dima_jax.categories import AREA_LAYERS, ATTRIBUTES, LIGHT_STATES
from dima_jax.data.truth_arrays import starts
from dima_jax.errors import UserError

LEVELS = {"v0-40": 1, "v40-60": 2, "v60-80": 3, "v80-100": 4}


def annotations(arrays: dict[str, np.ndarray], root: Root) -> dict[str, np.ndarray]:
    """`visibility` and `attribute` of every row of agents. UserError for a root with other annotations."""
    level = {row["token"]: LEVELS.get(row.get("level"), 0) for row in root.tables.visibility} | {"": 0}
    index = {name: number for number, name in enumerate(ATTRIBUTES)}
    attribute = {row["token"]: index.get(row.get("name"), -1) for row in root.tables.attribute}
    rows = _rows(arrays, root)
    return {
        "visibility": np.array([level[row["visibility_token"]] for row in rows], np.int8),
        "attribute": np.array([next((attribute[one] for one in row["attribute_tokens"]), -1) for row in rows], np.int8),
    }


def _rows(arrays: dict[str, np.ndarray], root: Root) -> list[dict]:
    """The annotations of the root, as `arrays` counts them."""
    known = {row["token"]: row for row in root.tables.sample}
    found = []
    for i, token in enumerate(arrays["tokens"].tolist()):
        start, end = arrays["agent_start"][i : i + 2]
        expected = arrays["instance_tokens"][arrays["instance"][start:end]].tolist()
        rows = [root.tables.get("sample_annotation", one) for one in known[token]["anns"]] if token in known else None
        if rows is None or [row["instance_token"] for row in rows] != expected:
            what = "no sample" if rows is None else "other annotations of sample"
            raise UserError(
                f"{root.path / root.version}: has {what} {token}; --dataroot is the root that the records were made from"
            )
        found += rows
    return found


def lights(arrays: dict[str, np.ndarray], root: Root) -> dict[str, np.ndarray]:
    """The keys of the group `lights`, {} for a root without them. arrays: with its areas.

    UserError for a file that does not fit its format.
    """
    path = root.path / root.version / TRAFFIC_LIGHTS
    if not path.is_file():
        return {}
    states = read_json(path, "write the mini world again")
    stop_lines = np.flatnonzero(arrays["area_layer"] == AREA_LAYERS.index("stop_line")).tolist()
    row_of = {str(arrays["area_token"][row]): row for row in stop_lines}
    rows = []
    for token in arrays["tokens"].tolist():
        try:
            found = [
                (row_of[line], LIGHT_STATES.index(state)) for line, state in states[token].items() if line in row_of
            ]
        except (LookupError, TypeError, AttributeError, ValueError):
            raise UserError(
                f"{path}: sample {token}: no stop lines with states of {LIGHT_STATES}; write the mini world again"
            ) from None
        rows.append(sorted(found))
    return {
        "light_start": starts(len(found) for found in rows),
        "light_stop_line": np.array([row for found in rows for row, _ in found], np.int32),
        "light_state": np.array([state for found in rows for _, state in found], np.int8),
    }
