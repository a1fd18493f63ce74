"""Golden piece point_sampling: BEV pillars in the images."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from dima_jax.configs import base
from dima_jax.student.bev_geometry import cell_centers, pillars, project_pillars
from tests.golden.check import close


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    bev_shape, image_shape = tuple(map(int, d["bev_hw"])), tuple(map(int, d["img_hw"]))
    config = base.get_config().student
    points = pillars(bev_shape, config.pc_range, config.pillar_points)
    yield close("ref_3d", points[None], d["ref_3d"], 1e-6)
    yield close("ref_2d", cell_centers(bev_shape)[None, :, None], d["ref_2d"], 1e-6)
    lidar2img = d["lidar2img__f64"].astype(np.float32)[None]
    references, visible = project_pillars(jnp.asarray(lidar2img), points, config.pc_range, image_shape)
    golden = np.swapaxes(d["reference_points_cam"], 0, 1)
    relative = np.abs(np.asarray(references) - golden) / np.maximum(1.0, np.abs(golden))
    near = np.abs(golden).max(-1) < 1e3  # behind the camera the division by 1e-5 amplifies rounding
    yield close("reference_points_cam (relative)", relative, np.zeros_like(golden), 1e-4, near)
    yield close("bev_mask (cells that differ)", np.sum(visible != np.swapaxes(d["bev_mask"], 0, 1)), np.asarray(0), 0.0)
