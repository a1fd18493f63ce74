"""Maps of the nuScenes map expansion: the version, tokens, coordinates, geometries, and whether they reach the scenes."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from shapely.geometry import LineString, Polygon

from data_prep import map_lines
from data_prep.root_check.problems import ERROR, NOTE, SKIP, Files
from data_prep.root_check.reading import read_json
from data_prep.root_check.schema import Table, shown
from dima_jax.errors import UserError

VERSION = (1, 3)  # or later
TOKENS = {  # {field: the layer that its token, or its tokens, are of}
    "polygon_token": "polygon",
    "polygon_tokens": "polygon",
    "line_token": "line",
    "node_tokens": "node",
    "exterior_node_tokens": "node",
}
BASES = ("polygon", "line", "node")
READ = (*BASES, *map_lines.LINE_LAYERS, *map_lines.POLYGON_LAYERS)
MARGIN = map_lines.PATCH_LENGTH  # meters beyond the map's nodes at which nothing of it is in a record


def file_of(root: Path, location: str) -> Path:
    return root / "maps" / "expansion" / f"{location}.json"


def are_there(root: Path) -> bool:
    """Whether a root has maps: of one location, and it must have those of all its scenes."""
    return any(file_of(root, "").parent.glob("*.json"))


def remedy(root: Path) -> str:
    return f"unpack the nuScenes map expansion v1.3 into {root}/maps"


def read(root: Path, location: str) -> dict:
    """The content of the map of one nuScenes location.

    Raises UserError for a file that is missing, cut or older than VERSION, and for a token that leads nowhere.
    """
    path = file_of(root, location)
    if not path.is_file():
        raise UserError(f"{path}: missing; {remedy(root)}")
    content = read_json(path, remedy(root))
    version = content.get("version") if isinstance(content, dict) else None
    if _numbers(version) < VERSION:
        raise UserError(f"{path}: is of version {shown(version)}, which cannot be read; {remedy(root)}")
    try:
        _check_tokens(content)
        nodes = [node[axis] for node in content["node"] for axis in "xy"]
        if not nodes:
            raise ValueError("it has no nodes")
        if set(map(type, nodes)) - {int, float} or not all(map(math.isfinite, nodes)):
            raise ValueError("a node has no finite coordinates")
        geometries(content)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # whatever a missing field or a number of hundreds of digits leads to
        raise not_whole(root, location, error) from None
    return content


def not_whole(root: Path, location: str, error: Exception) -> UserError:
    """The error for a map that something cannot read."""
    detail = f"nothing is called {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
    text = " ".join(detail.split())
    return UserError(f"{file_of(root, location)}: no whole map expansion ({text}); {remedy(root)}")


def _numbers(version) -> tuple[int, ...]:
    """(1, 3) of "1.3"; () of what is no version."""
    try:
        return tuple(int(part) for part in version.split("."))
    except (AttributeError, ValueError):
        return ()


def _check_tokens(content: dict) -> None:
    known = {}
    for layer in READ:
        if not isinstance(content[layer], list):
            raise TypeError(f"{layer} is no list")
        known[layer] = {row["token"] for row in content[layer]}
    for layer, rows in content.items():
        for row in rows if isinstance(rows, list) and layer != "lane_connector" else ():
            for record in (row, *row.get("holes", ())) if isinstance(row, dict) else ():
                for field, target in TOKENS.items():
                    found = record.get(field, [])
                    for token in found if isinstance(found, list) else [found]:
                        if token not in known[target]:
                            raise ValueError(
                                f"{field} of {layer} {row.get('token')} is {token!r}, which is no {target}"
                            )


def geometries(content: dict) -> dict[str, list]:
    """{layer: its shapely geometries (global, meters)} of the layers that map lines are made of; None for one that shapely
    refuses. Of two rows with one token the last is taken, as by the devkit.
    """
    nodes = {row["token"]: (row["x"], row["y"]) for row in content["node"]}
    points = lambda row, name: [nodes[token] for token in row[name]]  # noqa: E731
    lines = {row["token"]: points(row, "node_tokens") for row in content["line"]}
    polygons = {
        row["token"]: (
            points(row, "exterior_node_tokens"),
            [points(hole, "node_tokens") for hole in row["holes"] if hole["node_tokens"]],
        )
        for row in content["polygon"]
    }
    shape = map_lines.shape
    found = {
        name: [shape(LineString, lines[row["line_token"]]) for row in content[name]] for name in map_lines.LINE_LAYERS
    }
    return found | {
        name: [shape(Polygon, *polygons[row["polygon_token"]]) for row in content[name]]
        for name in map_lines.POLYGON_LAYERS
    }


def problems(root: Path, tables: dict[str, Table], key: np.ndarray, used: set[str]) -> Iterator[Files]:
    """key: of `times.key_rows`, complete; used: the names of the scenes that are built."""
    folder = f"{root}/maps/expansion"
    if not are_there(root):
        line = f"{folder}: no map; the records have no lines, and what needs the map has no scores"
        yield Files(SKIP, folder, "a root without maps", [line], f"{remedy(root)}, if there are maps")
        return
    errors, twice, refused, invalid, lost, far = [], [], [], [], [], []
    for location, scenes in _scenes_of(tables, used).items():
        path = file_of(root, location)
        try:
            content = read(root, location)
        except UserError as error:
            errors.append(f"{str(error).removesuffix(f'; {remedy(root)}')} ({scenes[0]})")
            continue
        for layer in READ:
            if count := len(content[layer]) - len({row["token"] for row in content[layer]}):
                twice.append(f"{path}: {count} rows of {layer} have the token of a later one")
        for layer, found in geometries(content).items():
            shapes = [shape for shape in found if shape is not None]
            counts = (
                (refused, "no geometries: too few nodes", len(found) - len(shapes)),
                (invalid, "not valid", sum(not shape.is_valid for shape in shapes)),
                (invalid, "empty", sum(shape.is_empty for shape in shapes)),
            )
            for lines, words, count in counts:
                if count:
                    lines.append(f"{path}: {count} of {len(found)} geometries of {layer} are {words}")
        if count := len({row["token"] for row in content["polygon"]} - _named_polygons(content)):
            lost.append(f"{path}: {count} of {len(content['polygon'])} polygons are of no layer")
        nodes = np.array([(node["x"], node["y"]) for node in content["node"]], np.float64)
        far += [f"{path}: {text}" for text in _out_of_reach(nodes, tables, key, scenes)]
    yield Files(ERROR, folder, "maps are whole, of v1.3 or later", errors, remedy(root))
    yield Files(SKIP, folder, "of rows with the same token the last is taken", twice, remedy(root))
    yield Files(SKIP, folder, "geometries of too few nodes are left out", refused, remedy(root))
    own = "none is needed, if the map is nuScenes' own"
    yield Files(NOTE, folder, "geometries that are not valid or empty are left out, as VAD does", invalid, own)
    yield Files(NOTE, folder, "polygons that no layer names are left out", lost, own)
    yield Files(SKIP, folder, "key frames that the map does not reach", far, "correct location in log.json")


def _scenes_of(tables: dict[str, Table], used: set[str]) -> dict[str, list[str]]:
    """{location: the scenes there that are built}."""
    found: dict[str, list[str]] = {}
    for scene, log in zip(tables["scene"].rows, tables["scene"].links["log_token"].tolist(), strict=True):
        if scene["name"] in used:
            found.setdefault(tables["log"].rows[log]["location"], []).append(scene["name"])
    return found


def _named_polygons(content: dict) -> set[str]:
    found = set()
    for layer, rows in content.items():
        for row in rows if isinstance(rows, list) and layer not in BASES else ():
            if isinstance(row, dict):
                found |= {row.get("polygon_token"), *row.get("polygon_tokens", ())}
    return found


def _out_of_reach(nodes: np.ndarray, tables: dict[str, Table], key: np.ndarray, scenes: list[str]) -> Iterator[str]:
    pose_of = tables["sample_data"].links["ego_pose_token"][key[:, -1]]
    places, scene_of = tables["ego_pose"]["translation"][pose_of][:, :2], tables["sample"].links["scene_token"]
    low, high = nodes.min(0), nodes.max(0)
    outside = ((places < low - MARGIN) | (places > high + MARGIN)).any(1)
    number = {row["name"]: i for i, row in enumerate(tables["scene"].rows)}
    count = np.bincount(scene_of[outside], minlength=len(number))
    for name in scenes:
        if count[number[name]]:
            yield f"{count[number[name]]} key frames of {name} are more than {MARGIN:.0f} m from it"
