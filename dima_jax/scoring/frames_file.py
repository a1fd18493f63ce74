"""frames.npz (`dima_jax.frames`): the number of every frame beside the tables, so that two results can always be paired.

Arrays: tokens, scene, planners [P]; for each protocol p and quantity q `p/q` float32 [P, n, F] and `p/q/mask`, `p/hit`
[P, n, F] (row of the truth's agents, -1 for none), `p/recorded` [n, F], `p/entered` [n], `p/columns` [C], `p/value` and
`p/weight` float64 [P, n, C]. NaN, and False, where a frame does not enter or has no plan. `plans` float32 [P, n, F, 3]: x,
y, heading in the LiDAR frame, for drawings.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax.metrics.protocols.base import Plans
from dima_jax.scoring import npz_file
from dima_jax.scoring.recorded import Truth
from dima_jax.scoring.run import ProtocolFrames

FORMAT, VERSION = "dima_jax.frames", 1


class Frames(NamedTuple):
    """header: that of scores.json, and `protocols` with their definition hashes. arrays: by key, as above."""

    header: dict
    arrays: npz_file.Arrays


def save(path: str | Path, result: dict, truth: Truth, plans: Plans, scored: dict[str, ProtocolFrames]) -> None:
    """Writes the file. result: the content of scores.json. UserError where it cannot be written."""
    arrays = {
        "tokens": truth.tokens,
        "scene": truth.scene,
        "scene_names": truth.scene_names,
        "planners": np.array(plans.names, str),
        "plans": plans.lidar.astype(np.float32),
    }
    for name, found in scored.items():
        for quantity, values in found.values.items():
            arrays[f"{name}/{quantity}"] = values.astype(np.float32)
            arrays[f"{name}/{quantity}/mask"] = found.masks[quantity]
        arrays |= {
            f"{name}/hit": found.hit.astype(np.int32),
            f"{name}/recorded": found.recorded,
            f"{name}/entered": found.entered,
            f"{name}/columns": np.array([column.name for column in found.definition.columns], str),
            f"{name}/value": found.value,
            f"{name}/weight": found.weight,
        }
    hashes = {name: found.definition.hash for name, found in scored.items()}
    npz_file.write(path, arrays, result["header"] | {"format": FORMAT, "version": VERSION, "protocols": hashes})


def load(path: str | Path) -> Frames:
    """What `save` wrote. UserError for a file that is not one, is of a later version, or is damaged."""
    arrays, header = npz_file.read(path, FORMAT, VERSION)
    return Frames(header, arrays)
