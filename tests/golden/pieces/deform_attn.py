"""Golden piece deform_attn: the sampling op with gradients, both ways, and the four attentions built on it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dima_jax import weights
from dima_jax.convert import rules, torch_vad
from dima_jax.student import deformable_attention as deformable
from dima_jax.student.bev_encoder import SpatialAttention, TemporalAttention
from tests.golden.check import close

TOLERANCE = 1e-4


def check(folder: Path):
    kinds = {"core": _core, "msda3d": _pillar, "custom_msda": _decoder, "tsa": _temporal, "sca": _spatial}
    for path in sorted(folder.glob("*.npz")):
        kind = next(kind for kind in kinds if path.name.startswith(kind))
        with np.load(path) as data:
            yield path.name, list(kinds[kind](dict(data)))


def _shapes(array):
    return tuple((int(rows), int(columns)) for rows, columns in array)


def _core(d):
    names = ("value", "sampling_locations", "attention_weights")
    shapes = _shapes(d["spatial_shapes"])

    @jax.jit
    def run(inputs, grad_out):
        out, pull = jax.vjp(lambda *x: deformable.sample_levels(x[0], shapes, *x[1:]), *inputs)
        return out, pull(grad_out)

    out, gradients = run([jnp.asarray(d[name]) for name in names], d["grad_out"])
    yield close("out", out, d["out"], TOLERANCE)
    for name, gradient in zip(names, gradients, strict=True):
        yield close(f"grad_{name}", gradient, d[f"grad_{name}"], TOLERANCE)


def _load(module, d, prefix="", output="output_proj"):
    """The module with the file's weights; an attention without output projection gets zeros there."""
    graph, params = weights.split(module)
    table = torch_vad.deformable_rules(f"sd.{prefix}", f"sd.{output}", "maps")
    foreign = {name.replace("sd/", "sd."): value for name, value in d.items() if name.startswith("sd/")}
    expected = {path: value for path, value in params.items() if "output" not in path or f"sd/{output}.bias" in d}
    converted, _ = rules.to_params(table, (), foreign, expected)
    return weights.bind(graph, {**params, **jax.tree.map(jnp.asarray, converted)})


def _pillar(d):
    levels = len(d["spatial_shapes"])
    maps = _load(SpatialAttention(256, 8, levels, 0.0, nnx.Rngs(0)), d).maps
    offsets, attention = (x[:, :, :, 0] for x in maps.points(jnp.asarray(d["query"])))
    shapes = _shapes(d["spatial_shapes"])
    locations = deformable.sampling_locations(jnp.asarray(d["reference_points"]), offsets, shapes)
    out = jax.jit(deformable.sample_levels, static_argnums=1)(
        maps.values(jnp.asarray(d["value"])), shapes, locations, attention
    )
    yield close("out", out, d["out"], TOLERANCE)


def _first(x):
    return jnp.swapaxes(jnp.asarray(x), 0, 1)


def _decoder(d):
    module = _load(deformable.DeformableAttention(256, 8, 4, 0.0, nnx.Rngs(0)), d)
    query, query_pos, value = (_first(d[name]) for name in ("query", "query_pos", "value"))
    out = module(query, query_pos, value, jnp.asarray(d["reference_points"][:, :, 0]), tuple(map(int, d["bev_hw"])))
    yield close("out", _first(out), d["out"], TOLERANCE)


def _temporal(d):
    module = _load(TemporalAttention(256, 8, 0.0, nnx.Rngs(0)), d)
    query, query_pos, references = (jnp.asarray(d[name]) for name in ("query", "query_pos", "reference_points"))
    previous = jnp.asarray(d["prev_bev"]) if "prev_bev" in d else query
    references, bev_shape = references[None, :, :, 0], tuple(map(int, d["bev_hw"]))
    out = module(query, query_pos, previous, query, references, bev_shape)
    yield close("out", out, d["out"], TOLERANCE)


def _spatial(d):
    shapes = _shapes(d["spatial_shapes"])
    module = _load(SpatialAttention(256, 8, len(shapes), 0.0, nnx.Rngs(0)), d, "deformable_attention.")
    features = jnp.moveaxis(jnp.asarray(d["key_value"]), 2, 0)
    references, visible = (_first(d[name]) for name in ("reference_points_cam", "bev_mask"))
    yield close("out", module(jnp.asarray(d["query"]), features, shapes, references, visible), d["out"], TOLERANCE)
