"""Golden piece bev_rotate: torchvision's nearest rotation of the previous BEV. A tie may flip up to 0.1 % of cells."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from dima_jax.student.bev_geometry import rotate_bev
from tests.golden.check import Check


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    channels, rows, columns = d["x"].shape
    angles, center = d["angles_deg"], tuple(map(int, d["center_xy"]))
    cells = np.broadcast_to(d["x"].reshape(channels, -1).T, (len(angles), rows * columns, channels))
    out = np.asarray(rotate_bev(jnp.asarray(cells), jnp.asarray(angles), (rows, columns), center))
    golden = d["out"].reshape(len(angles), channels, -1).swapaxes(1, 2)
    for angle, ours, theirs in zip(angles, out, golden, strict=True):
        differs = float((ours != theirs).any(axis=-1).mean())
        yield Check(f"share of cells that differ at {angle:.1f} degrees", differs, 1e-3)
