"""Deformable attention's sampling for ONNX runtimes: one GridSample for all points of a level.

Traced inside `traced`, `deformable_attention` samples this way instead of gathering rows, which needs a loop over the
points. The cameras of a sample stand one below the other in one tall image, with an empty row above and below each, so
that one call samples every query in a camera of its own. The results are the same up to the order of additions and the
rounding of coordinates. Forward only.

Queries come last in most arrays here: runtimes are slow at element-wise operations on short rows.

Axis letters here: N cameras, c cells of all levels together, h heads, d channels of a head, L levels, p points, z
reference points of a query, n images, y rows and x columns of an image.
"""

import contextlib
import contextvars

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax.interpreters import mlir
from jaxtyping import Array, Bool, Float

from dima_jax.types import LevelShapes

GAP = 2  # empty rows of a camera in a tall image: one above it, one below it

_TRACED: contextvars.ContextVar[bool] = contextvars.ContextVar("grid_sampling", default=False)


@contextlib.contextmanager
def traced():
    """Programs traced inside sample with `grid_sample`."""
    token = _TRACED.set(True)
    try:
        yield
    finally:
        _TRACED.reset(token)


def is_traced() -> bool:
    """Whether this is inside `traced`."""
    return _TRACED.get()


def sample_levels(
    value: Float[Array, "B c h d"],
    shapes: LevelShapes,
    locations: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """As `deformable_attention.sample_levels`."""
    points = jnp.transpose(locations, (0, 2, 3, 4, 5, 1))
    first_camera = jnp.zeros((len(points), points.shape[-1]))
    total = _sum_of_samples(tall_images(value[:, None], shapes), shapes, first_camera, points, _queries_last(weights))
    return _channels_last(total)


def sample_cameras(
    value: Float[Array, "B N c h d"],
    shapes: LevelShapes,
    references: Float[Array, "B N Q z 2"],
    visible: Bool[Array, "B N Q"],
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """As `deformable_attention.sample_cameras`, in the same passes: pass k visits the k-th camera that sees a query."""
    images = tall_images(value, shapes)
    references = jnp.transpose(references, (0, 1, 3, 4, 2))
    repeats = offsets.shape[-2] // references.shape[2]
    sizes = np.asarray([(columns, rows) for rows, columns in shapes], np.float32)
    offsets = offsets / np.broadcast_to(sizes[:, None], offsets.shape[-4:])
    offsets = jnp.transpose(offsets, (0, 2, 3, 4, 5, 1))
    weights = _queries_last(weights)
    numbers = np.arange(visible.shape[1], dtype=np.float32)[:, None]
    order = jnp.cumsum(visible.astype(jnp.int32), axis=1)  # 1 at the first camera that sees a query, 2 at its second

    def visit(nth):
        chosen = visible & (order == nth)  # at most one camera per query
        camera = jnp.where(chosen, numbers, 0.0).sum(axis=1)
        reference = jnp.where(chosen[:, :, None, None], references, 0.0).sum(axis=1)
        points = jnp.concatenate([reference] * repeats, axis=1)[:, None, None] + offsets
        masked = weights * chosen.any(axis=1)[:, None, None, None]
        return _sum_of_samples(images, shapes, camera, points, masked)

    total = visit(1)
    for nth in range(2, visible.shape[1] + 1):  # not a loop of the program: branches alone can be skipped
        total = jax.lax.cond((order[:, -1] >= nth).any(), lambda x, n=nth: x + visit(n), lambda x: x, total)
    return _channels_last(total)


def _queries_last(weights: Float[Array, "B Q h L p"]) -> Float[Array, "B h L p Q"]:
    return jnp.transpose(weights, (0, 2, 3, 4, 1))


def _channels_last(x: Float[Array, "B h d Q"]) -> Float[Array, "B Q D"]:
    return jnp.swapaxes(x.reshape(len(x), -1, x.shape[-1]), 1, 2)


def tall_images(value: Float[Array, "B N c h d"], shapes: LevelShapes) -> list[Float[Array, "Bh d _ _"]]:
    """For every level, an image per sample and head: N * (rows + GAP) rows, camera after camera."""
    batch, cameras, _, heads, channels = value.shape
    images, start = [], 0
    for rows, columns in shapes:
        level = value[:, :, start : start + rows * columns]
        level = level.reshape(batch, cameras, rows, columns, heads * channels)
        level = jnp.pad(level, ((0, 0), (0, 0), (1, GAP - 1), (0, 0), (0, 0)))
        level = jnp.moveaxis(level.reshape(batch, -1, heads * channels), -1, 1)
        images.append(level.reshape(batch * heads, channels, -1, columns))
        start += rows * columns
    return images


def _sum_of_samples(
    images: list[Float[Array, "Bh d _ _"]],
    shapes: LevelShapes,
    camera: Float[Array, "B Q"],
    points: Float[Array, "B h L p 2 Q"],
    weights: Float[Array, "B h L p Q"],
) -> Float[Array, "B h d Q"]:
    """Weighted sum of the bilinear samples of each query in its camera; points: (x, y) in [0, 1] of each level."""
    batch, heads, _, _, _, queries = points.shape
    total = 0.0
    for i, (image, (rows, columns)) in enumerate(zip(images, shapes, strict=True)):
        height = image.shape[2]
        # From half a cell outside, a sample is 0: so it stays on the empty rows of its own camera.
        x = jnp.clip(points[:, :, i, :, 0], -0.5 / columns, 1.0 + 0.5 / columns)
        y = jnp.clip(points[:, :, i, :, 1], -0.5 / rows, 1.0 + 0.5 / rows)
        top = camera * (2.0 * (rows + GAP) / height) + (2.0 / height - 1.0)  # of the camera in its image, from -1 to 1
        grid = jnp.stack([2.0 * x - 1.0, y * (2.0 * rows / height) + top[:, None, None]], axis=-1)
        sampled = grid_sample(image, grid.reshape(batch * heads, *grid.shape[2:]))
        weight = weights[:, :, i].reshape(batch * heads, 1, -1, queries)
        total += (sampled * weight).sum(axis=2)
    return total.reshape(batch, heads, -1, queries)


def grid_sample(images: Float[Array, "n c y x"], grid: Float[Array, "n p Q 2"]) -> Float[Array, "n c p Q"]:
    """ONNX's GridSample: bilinear, zero padding, align_corners = 0. grid: (x, y), -1 and 1 at the image's edges."""
    return grid_sample_p.bind(images, grid)


def _bilinear(images, grid):
    rows, columns = images.shape[2:]
    size = jnp.asarray([columns, rows], grid.dtype)
    position = ((grid + 1.0) * size - 1.0) / 2.0
    total = 0.0
    for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cell = jnp.floor(position) + jnp.asarray(corner, grid.dtype)
        inside = ((cell >= 0) & (cell < size)).all(axis=-1)
        share = jnp.where(inside, (1.0 - jnp.abs(position - cell)).prod(axis=-1), 0.0)
        x, y = (jnp.clip(cell[..., axis], 0, size[axis] - 1).astype(jnp.int32) for axis in range(2))
        total += jax.vmap(lambda image, y, x: image[:, y, x])(images, y, x) * share[:, None]
    return total


grid_sample_p = jax.extend.core.Primitive("grid_sample")
grid_sample_p.def_impl(jax.jit(_bilinear))
grid_sample_p.def_abstract_eval(
    lambda images, grid: jax.core.ShapedArray((*images.shape[:2], *grid.shape[1:3]), images.dtype)
)
mlir.register_lowering(grid_sample_p, mlir.lower_fun(_bilinear, multiple_results=False))
