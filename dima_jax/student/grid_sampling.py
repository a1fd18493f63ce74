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
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from dima_jax.student.exported_operations import primitive, scatter_in_rows
from dima_jax.types import LevelShapes

FIRST_PART = 3  # a third of the queries; two cameras of nuScenes' rig see some 20 to 26 % of them
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
    """As `deformable_attention.sample_cameras`, in the same passes: pass k visits the k-th camera that sees a query.

    Queries that a second camera sees are few, and packed for their later passes: into the first part, and where that is
    full, into the rest.
    """
    images = tall_images(value, shapes)
    sizes = np.asarray([(columns, rows) for rows, columns in shapes], np.float32)
    offsets = offsets / np.broadcast_to(sizes[:, None], offsets.shape[-4:])
    visible, references = jnp.swapaxes(visible, 1, 2), jnp.swapaxes(references, 1, 2)
    queries = (visible, references, offsets, weights)
    total = _visit(images, shapes, 1, *queries)
    if visible.shape[2] == 1:
        return total
    count = visible.sum(axis=2, dtype=jnp.int32)
    place, packed = _pack(count > 1)
    first = -(-count.shape[1] // FIRST_PART)
    later = []
    for start, stop in ((0, first), (first, count.shape[1])):
        inside = (place >= start) & (place < stop)
        samples = jnp.zeros((len(total), stop - start, total.shape[2]))
        for nth in range(2, visible.shape[2] + 1):  # not a loop of the program: branches alone can be skipped

            def add(samples, nth=nth, chosen=packed[:, start:stop]):
                return samples + _visit(images, shapes, nth, *(_take_rows(x, chosen) for x in queries))

            samples = jax.lax.cond((inside & (count >= nth)).any(), add, lambda x: x, samples)
        later.append(samples)
    return total + _take_rows(jnp.concatenate(later, axis=1), place)


def _visit(
    images: list[Float[Array, "Bh d _ _"]],
    shapes: LevelShapes,
    nth: int,
    visible: Bool[Array, "B Q N"],
    references: Float[Array, "B Q N z 2"],
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """The samples of each query in the nth camera that sees it; 0 where there is none. offsets: in shares of a level."""
    visible = jnp.swapaxes(visible, 1, 2)
    references = jnp.transpose(references, (0, 2, 3, 4, 1))
    chosen = visible & (jnp.cumsum(visible.astype(jnp.int32), axis=1) == nth)  # at most one camera per query
    camera = jnp.where(chosen, np.arange(visible.shape[1], dtype=np.float32)[:, None], 0.0).sum(axis=1)
    reference = jnp.where(chosen[:, :, None, None], references, 0.0).sum(axis=1)
    repeats = offsets.shape[-2] // reference.shape[1]
    points = jnp.concatenate([reference] * repeats, axis=1)[:, None, None]
    points = points + jnp.transpose(offsets, (0, 2, 3, 4, 5, 1))
    masked = _queries_last(weights) * chosen.any(axis=1)[:, None, None, None]
    return _channels_last(_sum_of_samples(images, shapes, camera, points, masked))


def _pack(chosen: Bool[Array, "B Q"]) -> tuple[Int[Array, "B Q"], Int[Array, "B Q"]]:
    """An order with the chosen queries first: (place of each query in it, query at each place)."""
    number = chosen.sum(axis=1, keepdims=True, dtype=jnp.int32)
    first, second = (jnp.cumsum(x.astype(jnp.int32), axis=1) - 1 for x in (chosen, ~chosen))
    place = jnp.where(chosen, first, number + second)
    return place, scatter_in_rows(jnp.broadcast_to(np.arange(chosen.shape[1], dtype=np.int32), chosen.shape), place)


def _take_rows(x: Shaped[Array, "B Q *rest"], index: Int[Array, "B I"]) -> Shaped[Array, "B I *rest"]:
    """x[b, index[b, i]], as one gather of whole rows."""
    batch, length, *rest = x.shape
    rows = index + (length * np.arange(batch, dtype=np.int32))[:, None]
    return x.reshape(batch * length, -1)[rows].reshape(batch, -1, *rest)


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


grid_sample_p = primitive("grid_sample", _bilinear, lambda images, grid: (*images.shape[:2], *grid.shape[1:3]))
