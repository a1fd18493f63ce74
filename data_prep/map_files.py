"""One map of the nuScenes map expansion, opened by the devkit after `root_check` found it whole."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nuscenes.map_expansion.map_api import NuScenesMap

from data_prep import map_lines
from data_prep.root_check import maps

T = TypeVar("T")


def read_layers(root: Path, location: str) -> dict[str, map_lines.Layer]:
    """The layers of `map_lines.read_layers` of one nuScenes location. Raises UserError as `read` does."""
    return read(root, location, map_lines.read_layers)


def read(root: Path, location: str, take: Callable[[NuScenesMap], T]) -> T:
    """What `take` makes of the map of one nuScenes location.

    Raises UserError for a file that `maps.read` refuses, and for one that the devkit cannot open.
    """
    maps.read(root, location)
    try:
        return take(NuScenesMap(str(root), location))
    except (
        Exception
    ) as error:  # of layers that records are not made of the devkit raises whatever a missing field leads to
        raise maps.not_whole(root, location, error) from None
