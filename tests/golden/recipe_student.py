"""Students whose weights follow the recipe of the golden files, for the pieces that run VAD's model."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.configs import base
from dima_jax.convert import rules, torch_vad
from dima_jax.student import student
from tests.golden.check import recipe

TINY = dict(layers=(3, 3, 3), bev_shape=(100, 100), stages=(3,), extra_levels=0, image_shape=(384, 640))
BASE = dict(layers=(6, 6, 6), bev_shape=(200, 200), stages=(1, 2, 3), extra_levels=1, image_shape=(736, 1280))


def vad_config(*, layers, bev_shape, stages, extra_levels: int, image_shape, **changes) -> ConfigDict:
    """The config of a VAD at these sizes; further `changes` go to its student group.

    layers: of the BEV encoder, the agent decoder and the map decoder.
    """
    encoder_layers, decoder_layers, map_decoder_layers = layers
    config = base.get_config()
    config.data.image_shape = config.data.valid_shape = tuple(image_shape)
    config.student.update(
        dict(
            encoder_layers=encoder_layers,
            decoder_layers=decoder_layers,
            map_decoder_layers=map_decoder_layers,
            bev_shape=tuple(bev_shape),
            out_stages=tuple(stages),
            extra_levels=extra_levels,
            **changes,
        )
    )
    return config


def abstract(config: ConfigDict):
    """(structure, {path: shape}) without making any array."""
    return _abstract(config.to_json())


@cache
def _abstract(config: str):
    return student.abstract(ConfigDict(json.loads(config)))


def state_dict(file: Path, seed: int, prefix: str = "") -> dict[str, np.ndarray]:
    """Recipe weights for the names and shapes of a state-dict file; `prefix` completes the names."""
    shapes = json.loads(file.read_text())
    shapes = {prefix + name: entry["shape"] if isinstance(entry, Mapping) else entry for name, entry in shapes.items()}
    return {name: recipe(name, tuple(shape), seed) for name, shape in shapes.items()}


def recipe_weights(config: ConfigDict, table: Iterable[rules.Rule], under: tuple[str, ...], seed: int):
    """Recipe weights by foreign name for our paths below `under`."""
    shapes = {path: shape for path, shape in abstract(config)[1].items() if path.startswith(under)}
    blank = rules.to_state_dict(table, {path: np.zeros(shape.shape, np.float32) for path, shape in shapes.items()})
    return {name: recipe(name, array.shape, seed) for name, array in blank.items()}


def vad_weights(config: ConfigDict, seed: int) -> dict[str, np.ndarray]:
    """Recipe weights for all names of VAD at these sizes."""
    blank = torch_vad.to_torch({path: np.zeros(shape.shape, np.float32) for path, shape in abstract(config)[1].items()})
    return {name: recipe(name, array.shape, seed) for name, array in blank.items()}


def partial(config: ConfigDict, table: Iterable[rules.Rule], under: tuple[str, ...], foreign) -> nnx.Module:
    """A student with these foreign weights below `under` (strictly converted) and zeros elsewhere."""
    graph, shapes = abstract(config)
    wanted = {path: shape for path, shape in shapes.items() if path.startswith(under)}
    params, _ = rules.to_params(table, torch_vad.IGNORED, foreign, wanted)
    rest = {path: jnp.zeros(shape.shape) for path, shape in shapes.items() if path not in wanted}
    return weights.bind(graph, {**jax.tree.map(jnp.asarray, params), **rest})


def whole(config: ConfigDict, params: Mapping[str, np.ndarray]) -> nnx.Module:
    """A student with the weights of a complete VAD state dict."""
    graph, shapes = abstract(config)
    converted, _ = torch_vad.from_torch(params, shapes)
    return weights.bind(graph, jax.tree.map(jnp.asarray, converted))
