"""Golden piece vad_tiny_full: VAD-Tiny at full size, images to predictions, two frames of a scene."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import weights
from tests.golden.check import close, sym
from tests.golden.pieces.head_reduced import predictions
from tests.golden.recipe_student import TINY, vad_config, vad_weights, whole

TOLERANCE = 1e-3


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def images(frame: int, shape: tuple[int, int], seed: int) -> np.ndarray:
    """The recipe's six images [1, 6, H, W, 3], fed to the backbone as they are."""
    coarse = (6, 3, shape[0] // 32, shape[1] // 32)
    blocks = sym(f"image_blocks/f{frame}", coarse, seed).repeat(32, axis=2).repeat(32, axis=3)
    noise = sym(f"image_noise/f{frame}", (6, 3, *shape), seed)
    return (np.float32(1.5) * blocks + np.float32(0.5) * noise).transpose(0, 2, 3, 1)[None]


def student(config, d):
    """The whole student with the recipe's weights and the file's overrides."""
    overrides = {name.removeprefix("override/"): value for name, value in d.items() if name.startswith("override/")}
    return whole(config, {**vad_weights(config, int(d["recipe_seed"])), **overrides})


def forward(model):
    """The jitted student on float images: (backbone stages, pyramid levels, output)."""

    graph, params = weights.split(model)

    @jax.jit
    def run(params, pixels, lidar2img, can_bus, prev_bev, has_prev_bev):
        model = weights.bind(graph, params)
        stages = model.image_encoder.backbone(pixels[0])
        levels = model.image_encoder.fpn(stages)
        features = [level[None] for level in levels]
        bev = model.encode_features(features, lidar2img, can_bus, prev_bev, has_prev_bev)
        return stages, levels, model.decode(bev)

    return partial(run, params)


def _checks(d):
    config = vad_config(**TINY)
    model = student(config, d)
    run, prev_bev = forward(model), model.empty_bev(1)
    for i, has_prev in enumerate((False, True)):
        frame = f"f{i}/"
        can_bus = jnp.asarray(d[f"{frame}can_bus_model_input__f64"], jnp.float32)[None]
        lidar2img = jnp.asarray(d[f"{frame}lidar2img__f64"], jnp.float32)[None]
        pixels = images(i, config.data.image_shape, int(d["recipe_seed"]))
        stages, levels, out = run(pixels, lidar2img, can_bus, prev_bev, jnp.asarray([has_prev]))
        c5, level = (np.asarray(x[-1].transpose(0, 3, 1, 2)) for x in (stages, levels))
        yield close(f"{frame}c5", c5[:, ::16, ::2, ::2], d[f"{frame}c5_sub"], TOLERANCE)
        yield close(f"{frame}fpn", level[:, ::4], d[f"{frame}fpn_sub"], TOLERANCE)
        prev_bev = out.tokens.bev
        yield close(f"{frame}bev", prev_bev[0, ::37], d[f"{frame}bev_embed_every_37th_cell"], TOLERANCE)
        yield close(f"{frame}bev mean", prev_bev[0].mean(0), d[f"{frame}bev_embed_mean_cells"], TOLERANCE)
        yield from predictions(out, d, frame, TOLERANCE)
