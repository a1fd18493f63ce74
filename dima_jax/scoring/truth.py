"""The truth file (`dima_jax.truth`): what predictions are scored against, with the hashes that say what it is.

Header: split; source (`kind` and names of the `files` that it was made from); commit of the code that made it; data_hash
of those files; token_hash: which frames these are; content_hash of all arrays; has: the groups of keys that it holds.
The keys are those of `recorded.Truth`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from dima_jax import categories
from dima_jax.constants import COMMANDS, MAP_CLASSES
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file
from dima_jax.scoring.recorded import ALWAYS, GROUPS, KINDS, NEEDED, STARTS, Truth, axis_of, groups_of

FORMAT, VERSION = "dima_jax.truth", 1
GIVEN = ("split", "source", "commit", "data_hash")  # of the header; the rest is computed by `save`
# {key: (lowest, how many from 0 or the key whose rows it counts)}
INDICES: Mapping[str, tuple[int, int | str]] = {
    "scene": (0, "scene_names"),
    "location": (0, "location_names"),
    "command": (0, len(COMMANDS)),
    "category": (0, len(categories.LIDARSEG_CATEGORIES)),
    "instance": (0, "instance_tokens"),
    "visibility": (0, 5),
    "attribute": (-1, len(categories.ATTRIBUTES)),
    "line_label": (0, len(MAP_CLASSES)),
    "area_layer": (0, len(categories.AREA_LAYERS)),
    "area_location": (0, "location_names"),
    "center_lane": (0, "area_layer"),
    "center_successors": (0, "center_lane"),
    "light_stop_line": (0, "area_layer"),
    "light_state": (0, len(categories.LIGHT_STATES)),
}


def token_hash(tokens: Iterable[str]) -> str:
    """16 hexadecimal digits of the SHA-256 of the sorted tokens: which frames these are, in whatever order."""
    return hashlib.sha256("\n".join(sorted(map(str, tokens))).encode()).hexdigest()[:16]


def save(path: str | Path, arrays: npz_file.Arrays, header: dict) -> None:
    """Writes a truth file. header: the keys of `GIVEN`; all else is computed.

    ValueError for arrays that no `Truth` can have, UserError where the file cannot be written.
    """
    npz_file.write(path, arrays, _whole_header(arrays, header))


def made(arrays: npz_file.Arrays, header: dict) -> Truth:
    """What `load` gives of what `save` would write. ValueError for arrays that no `Truth` can have."""
    return Truth(_whole_header(arrays, header) | {"content_hash": npz_file.content_hash(arrays)}, **arrays)


def _whole_header(arrays: npz_file.Arrays, header: dict) -> dict:
    check(arrays)
    if missing := set(GIVEN) - set(header):
        raise ValueError(f"the header lacks {sorted(missing)}")
    computed = {"has": groups_of(arrays), "token_hash": token_hash(arrays["tokens"])}
    return header | computed | {"format": FORMAT, "version": VERSION}


def load(path: str | Path) -> Truth:
    """The truth of a file. UserError for a file that is not one, is of a later version, or is damaged."""
    arrays, header = npz_file.read(path, FORMAT, VERSION)
    if missing := {*GIVEN, "content_hash", "token_hash", "has"} - set(header):
        raise UserError(f"{path}: the header lacks {', '.join(sorted(missing))}; make the file again")
    try:
        check(arrays)
    except ValueError as error:
        raise UserError(f"{path}: {error}; make the file again") from None
    return Truth(header, **arrays)


def check(arrays: npz_file.Arrays) -> None:
    """ValueError, with the key, for arrays that are not those of a truth file."""
    groups = groups_of(arrays)
    whole = {*ALWAYS, *(key for name in groups for key in GROUPS[name])}
    if odd := sorted(set(arrays) ^ whole):
        raise ValueError(f"{odd[0]} is missing or not known, or others of its group are missing")
    for name in groups:
        if NEEDED.get(name, name) not in groups:
            raise ValueError(f"{GROUPS[name][0]} is of no use without {GROUPS[NEEDED[name]][0]}")
    sizes: dict[str, int] = {}
    for key, kind in KINDS.items():
        if key in arrays and not _fits(arrays[key], kind, sizes):
            raise ValueError(f"{key} is {arrays[key].dtype} {arrays[key].shape}, not {kind.__name__}")
    for key, (items, divided) in STARTS.items():
        if key in arrays:
            steps, end = np.diff(arrays[key], prepend=0), _rows(arrays, divided)
            if len(steps) != _rows(arrays, items) + 1 or (steps < 0).any() or steps[0] or arrays[key][-1] != end:
                raise ValueError(f"{key} does not divide {end} rows among {_rows(arrays, items)} items")
    for key, (low, count) in INDICES.items():
        if key in arrays:
            count = len(arrays[count]) if isinstance(count, str) else count
            if ((arrays[key] < low) | (arrays[key] >= count)).any():
                raise ValueError(f"{key} has a number outside of {low} to {count - 1}")
    _check_order(arrays)


def _fits(array: Shaped[np.ndarray, "..."], kind: Any, sizes: dict[str, int]) -> bool:
    """Whether an array has the dtype and the shape of an annotation; sizes: of the axes so far, which grow.

    By hand: jaxtyping's own context, in which axes keep their sizes, would load JAX.
    """
    if not any(re.fullmatch(name, array.dtype.name) for name in kind.dtypes):
        return False
    axes = kind.dim_str.split()
    if axes == ["..."]:
        return True
    if len(axes) != array.ndim:
        return False
    for axis, size in zip(axes, array.shape, strict=True):
        name, _, more = axis.partition("+")
        more = int(more or 0)
        if size != (int(name) if name.isdigit() else sizes.setdefault(name, size - more) + more):
            return False
    return True


def _check_order(arrays: npz_file.Arrays) -> None:
    tokens, scene = arrays["tokens"], arrays["scene"]
    if not len(tokens):
        raise ValueError("tokens is empty")
    names, counts = np.unique(tokens, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"tokens has {str(names[counts > 1][0])!r:.60} twice")
    later = np.diff(arrays.get("frame_index", np.arange(len(tokens)))) > 0
    if not ((np.diff(scene) > 0) | ((np.diff(scene) == 0) & later)).all():
        raise ValueError("scene, frame_index are not in order")


def _rows(arrays: npz_file.Arrays, axis: str) -> int:
    """The length of an axis."""
    if axis == "curbs":  # has no array of its own
        return len(arrays["curb_vertex_start"]) - 1
    return next(len(arrays[key]) for key in arrays if axis_of(key) == axis)
