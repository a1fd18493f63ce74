"""Golden piece vad_base_full: VAD-Base at full size, one frame without previous BEV."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from tests.golden.check import close
from tests.golden.pieces.head_reduced import predictions
from tests.golden.pieces.vad_tiny_full import forward, images, student
from tests.golden.recipe_student import BASE, vad_config

TOLERANCE = 1e-3


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    config = vad_config(**BASE)
    model = student(config, d)
    can_bus = jnp.asarray(d["can_bus__f64"], jnp.float32)[None]
    lidar2img = jnp.asarray(d["lidar2img__f64"], jnp.float32)[None]
    pixels = images(0, config.data.image_shape, int(d["recipe_seed"]))
    _, levels, out = forward(model)(pixels, lidar2img, can_bus, model.empty_bev(1), jnp.asarray([False]))
    for i, level in enumerate(levels):
        yield close(f"fpn{i} mean", level.mean((1, 2)), d[f"fpn{i}_mean_hw"], TOLERANCE)
    bev = out.tokens.bev[0]
    yield close("bev", bev[::149], d["bev_embed_every_149th_cell"], TOLERANCE)
    yield close("bev mean", bev.mean(0), d["bev_embed_mean_cells"], TOLERANCE)
    yield from predictions(out, d, "", TOLERANCE)
