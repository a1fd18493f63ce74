"""One map of the nuScenes map expansion, checked before the devkit opens it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from nuscenes.map_expansion.map_api import NuScenesMap

from data_prep import map_lines, tables
from dima_jax.errors import UserError

VERSION = "1.3"
T = TypeVar("T")
TOKENS = {  # {field: the layer that its token, or its tokens, are of}
    "polygon_token": "polygon",
    "polygon_tokens": "polygon",
    "line_token": "line",
    "node_tokens": "node",
    "exterior_node_tokens": "node",
}


def read_layers(root: Path, location: str) -> dict[str, map_lines.Layer]:
    """The layers of `map_lines.read_layers` of one nuScenes location. Raises UserError as `read` does."""
    return read(root, location, map_lines.read_layers)


def read(root: Path, location: str, take: Callable[[NuScenesMap], T]) -> T:
    """What `take` makes of the map of one nuScenes location.

    Raises UserError for a file that is missing, cut, or of another version, and for a token that leads nowhere.
    """
    path = root / "maps" / "expansion" / f"{location}.json"
    remedy = f"unpack the nuScenes map expansion v{VERSION} into {root}/maps"
    if not path.is_file():
        raise UserError(f"{path}: missing; {remedy}")
    content = tables.read_json(path, remedy)
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise UserError(f"{path}: is of version {version!r}, which cannot be read; {remedy}")
    try:
        _check_tokens(content)
        nodes = [(node["x"], node["y"]) for node in content["node"]]
        if not np.isfinite(np.array(nodes, np.float64)).all():
            raise ValueError("a node has no finite coordinates")
        return take(NuScenesMap(str(root), location))
    except Exception as error:  # the devkit raises whatever a missing field leads to
        detail = f"nothing is called {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: no whole map expansion ({' '.join(detail.split())}); {remedy}") from None


def _check_tokens(content: dict) -> None:
    known = {layer: {row["token"] for row in content[layer]} for layer in set(TOKENS.values())}
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
