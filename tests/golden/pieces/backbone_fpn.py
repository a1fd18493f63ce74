"""Golden piece backbone_fpn: ResNet-50 and its pyramid on small images, with recipe weights."""

from pathlib import Path

import jax
import numpy as np

from dima_jax import weights
from dima_jax.convert import torch_vad
from tests.golden.check import close, sym
from tests.golden.recipe_student import partial, recipe_weights, vad_config

TOLERANCE = 1e-3


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    seed, shape = int(d["recipe_seed"]), tuple(map(int, d["image_shape"]))
    count = sum(name.startswith("backbone") for name in d)
    extra = sum(name.startswith("fpn") for name in d) - count
    stages = range(4 - count, 4)
    config = vad_config(layers=(1, 1, 1), bev_shape=(2, 2), stages=stages, extra_levels=extra, image_shape=shape[2:])
    table = [*torch_vad.resnet_rules("img_backbone."), *torch_vad.fpn_rules(count, extra)]
    under = ("image_encoder/",)
    model = partial(config, table, under, recipe_weights(config, table, under, seed))
    images = 2.0 * sym("image", shape, seed).transpose(0, 2, 3, 1)
    graph, params = weights.split(model.image_encoder)

    @jax.jit
    def run(params, images):
        encoder = weights.bind(graph, params)
        stages = encoder.backbone(images)
        return stages, encoder.fpn(stages)

    stages, levels = run(params, images)
    for i, stage in enumerate(stages):
        yield close(f"backbone{i}", stage.transpose(0, 3, 1, 2)[:, ::8], d[f"backbone{i}_every_8th_ch"], TOLERANCE)
    for i, level in enumerate(levels):
        yield close(f"fpn{i}", level.transpose(0, 3, 1, 2), d[f"fpn{i}"], TOLERANCE)
