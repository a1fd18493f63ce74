"""Deformable attention's sampling for GPUs: a Triton kernel forward and one backward, written in Pallas.

A program takes `QUERIES` queries and one head. It computes the four cells around every sample, reads their rows, of the
cameras that see any of its queries alone, and sums them in registers; so nothing of the size queries x points is written
to memory, no index is read from it, and the table's rows (in bfloat16 where the student is) are read as they lie. The
backward kernel computes cells and rows again; it adds to the table's gradient by atomic additions, whose order is the
GPU's, so that the last bits of a gradient differ between runs, as those of XLA's scatter on a GPU do. Sums are float32.

Queries lie along the last axis of all arrays but the table: neighbors in memory are neighbors in a program. The results
are those of `deformable_attention` up to the order of additions.

Axis letters here: N cameras, c cells of all levels together, h heads, d channels of a head, L levels, p points, n = L * p,
z reference points of a query, Q queries, padded to whole programs.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Bool, Float, Int

from dima_jax import expected_work
from dima_jax.types import LevelShapes

QUERIES = 16  # of a program; measured on an H200, as are the warps
WARPS = 4  # of 32 threads, which run a program
MIN_CHANNELS = 16  # Triton's arrays have sizes of powers of two; channels are padded with zeros
INTERPRET = False  # run the kernels on a CPU, slowly: for tests


class Operands(NamedTuple):
    """What both kernels read. rows: the table; points: rows, columns and first cell of a point's level, and its reference
    point; cameras: those that see a query of a block first, in any order, and last how many these are.
    """

    rows: Float[Array, "BNch d"]
    references: Float[Array, "B N z 2 Q"]
    visible: Float[Array, "B N Q"]
    offsets: Float[Array, "B h n 2 Q"]
    weights: Float[Array, "B h n Q"]
    points: Int[Array, "n 4"]
    cameras: Int[Array, "B blocks N+1"]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def sample_in_kernel(
    value: Float[Array, "B N c h d"],
    shapes: LevelShapes,
    references: Float[Array, "B N Q z 2"],
    visible: Bool[Array, "B N Q"] | None,
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """As `deformable_attention.sample_cameras`. No gradient flows into the references."""
    return _forward(value, shapes, references, visible, offsets, weights)[0]


def _forward(value, shapes, references, visible, offsets, weights):
    saved = (value, references, visible, offsets, weights)
    operands = _operands(shapes, *saved)
    batch, queries, heads, channels = len(value), offsets.shape[1], *value.shape[3:]
    shape = (batch, heads, operands.visible.shape[-1], operands.rows.shape[-1])
    with expected_work.row_bytes(expected_numbers(value.shape, offsets.shape) * value.dtype.itemsize):
        out = pl.pallas_call(
            partial(_forward_kernel, value.shape),
            out_shape=jax.ShapeDtypeStruct(shape, jnp.float32),
            **_launch(operands),
        )(*operands)
    out = jnp.swapaxes(out[:, :, :queries, :channels], 1, 2)
    return out.reshape(batch, queries, -1), saved


def _backward(shapes, saved, gradient):
    value, _, _, offsets, weights = saved
    operands = _operands(shapes, *saved)
    batch, queries, heads, channels = len(value), offsets.shape[1], *value.shape[3:]
    gradient = jnp.swapaxes(gradient.reshape(batch, queries, heads, channels), 1, 2)
    padding = (operands.visible.shape[-1] - queries, operands.rows.shape[-1] - channels)
    gradient = jnp.pad(gradient, ((0, 0), (0, 0), (0, padding[0]), (0, padding[1])))
    to_rows = jnp.zeros(operands.rows.shape)
    results = (to_rows, operands.offsets, operands.weights)
    bytes_touched = value.dtype.itemsize + 2 * to_rows.dtype.itemsize  # a sum is read and written
    with expected_work.row_bytes(expected_numbers(value.shape, offsets.shape) * bytes_touched):
        to_rows, to_offsets, to_weights = pl.pallas_call(
            partial(_backward_kernel, value.shape),
            out_shape=[jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in results],
            input_output_aliases={len(operands) + 1: 0},
            **_launch(operands),
        )(*operands, gradient, to_rows)
    to_value = to_rows[:, :channels].reshape(value.shape).astype(value.dtype)
    to_offsets = jnp.moveaxis(to_offsets[..., :queries], -1, 1).reshape(offsets.shape)
    return to_value, None, None, to_offsets, jnp.moveaxis(to_weights[..., :queries], -1, 1).reshape(weights.shape)


sample_in_kernel.defvjp(_forward, _backward)


def expected_numbers(value_shape: tuple[int, ...], offsets_shape: tuple[int, ...]) -> int:
    """Of the table, read for all samples where every camera sees as much as in nuScenes: four rows a sample."""
    samples = math.prod(offsets_shape[:-1]) * expected_work.cameras_per_query(value_shape[1])
    return math.ceil(samples * 4 * value_shape[-1])


def _launch(operands: Operands) -> dict:
    """How a kernel is run: one program for every block of queries, head and sample of the batch."""
    batch, heads = operands.offsets.shape[:2]
    return dict(
        grid=(operands.visible.shape[-1] // QUERIES, heads, batch),
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=2),
        interpret=INTERPRET,
    )


def _operands(shapes, value, references, visible, offsets, weights) -> Operands:
    batch, _, _, heads, channels = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    padding = -queries % QUERIES

    def queries_last(x, axis: int, shape: tuple):
        return jnp.pad(jnp.moveaxis(x, axis, -1).reshape(*shape, queries), [(0, 0)] * len(shape) + [(0, padding)])

    width = max(MIN_CHANNELS, 1 << (channels - 1).bit_length())
    rows = jnp.pad(value.reshape(-1, channels), ((0, 0), (0, width - channels)))
    if visible is None:
        visible = jnp.ones((*value.shape[:2], queries), bool)
    visible = queries_last(visible.astype(jnp.float32), 2, visible.shape[:2])
    sees_block = visible.reshape(*visible.shape[:2], -1, QUERIES).any(axis=-1)  # [B, N, blocks]
    first = jnp.argsort(~sees_block, axis=1)
    cameras = jnp.concatenate([first, sees_block.sum(axis=1, keepdims=True)], axis=1).astype(jnp.int32)
    count = len(shapes) * points
    return Operands(
        rows,
        queries_last(references, 2, (*references.shape[:2], *references.shape[3:])),
        visible,
        queries_last(offsets, 1, (batch, heads, count, 2)),
        queries_last(weights, 1, (batch, heads, count)),
        jnp.asarray(_points(shapes, points, references.shape[3])),
        jnp.swapaxes(cameras, 1, 2),
    )


def _points(shapes: LevelShapes, points: int, anchors: int) -> Int[np.ndarray, "n 4"]:
    """Rows, columns and first cell of the level of each point, and the reference point around which it lies."""
    starts = np.cumsum([0, *(rows * columns for rows, columns in shapes)])
    levels = np.repeat([(*shape, start) for shape, start in zip(shapes, starts[:-1], strict=True)], points, axis=0)
    return np.column_stack([levels, np.arange(len(levels)) % points % anchors]).astype(np.int32)


class _Corner(NamedTuple):
    """One of the four cells around the samples of a block: its row of the table, whether it is read, its shares along
    both axes, and the signs of their slopes.
    """

    row: Int[Array, " Q"]
    is_read: Bool[Array, " Q"]
    share_x: Float[Array, " Q"]
    share_y: Float[Array, " Q"]
    slope_x: float
    slope_y: float


class _Block(NamedTuple):
    """Which block of queries, head and sample of the batch a program has; where the queries are."""

    number: Int[Array, ""]
    queries: pl.Slice
    head: Int[Array, ""]
    sample: Int[Array, ""]


def _block() -> _Block:
    number = pl.program_id(0)
    return _Block(number, pl.ds(number * QUERIES, QUERIES), pl.program_id(1), pl.program_id(2))


def _samples(value_shape, refs, block: _Block, camera, point) -> tuple[list[_Corner], Float[Array, " Q"]]:
    """(the corners of a point's samples in a camera, the samples' weights). Positions in cells, 0 at the first one's
    middle."""
    _, cameras, cells, heads, _ = value_shape
    rows, columns, start, anchor = (refs.points[point, i] for i in range(4))
    x, y = (
        refs.references[block.sample, camera, anchor, axis, block.queries] * size.astype(jnp.float32)
        + refs.offsets[block.sample, block.head, point, axis, block.queries]
        - 0.5
        for axis, size in enumerate((columns, rows))
    )
    is_visible = refs.visible[block.sample, camera, block.queries] > 0.0
    first = (block.sample * cameras + camera) * cells + start
    corners = []
    for cell_y, share_y, slope_y in _neighbors(y, rows):
        for cell_x, share_x, slope_x in _neighbors(x, columns):
            is_read = is_visible & (cell_y >= 0) & (cell_y < rows) & (cell_x >= 0) & (cell_x < columns)
            row = jnp.where(is_read, (first + cell_y * columns + cell_x) * heads + block.head, 0)
            corners.append(_Corner(row, is_read, share_x, share_y, slope_x, slope_y))
    return corners, refs.weights[block.sample, block.head, point, block.queries]


def _neighbors(position, size):
    """The two cells along an axis: index (outside: not in 0 .. size - 1), share, slope of the share."""
    size = size.astype(jnp.float32)
    position = jnp.where((position > -1.0) & (position < size), position, -2.0)  # beyond, both cells are outside
    low = jnp.floor(position)
    part, cell = position - low, low.astype(jnp.int32)
    return (cell, 1.0 - part, -1.0), (cell + 1, part, 1.0)


def _read(rows_ref, corner: _Corner) -> Float[Array, "Q d"]:
    """The rows of a corner; zeros where none is read."""
    index, mask = _index(corner, rows_ref.shape[-1])
    return triton.load(rows_ref.at[index], mask=mask, other=0.0).astype(jnp.float32)


def _index(corner: _Corner, width: int):
    """(where the numbers of a corner's rows are, which of them are touched)."""
    index = jnp.broadcast_arrays(corner.row[:, None], jnp.arange(width)[None])
    return tuple(index), jnp.broadcast_to(corner.is_read[:, None], (QUERIES, width))


def _forward_kernel(value_shape, *refs):
    *operands, out = refs
    refs, block = Operands(*operands), _block()
    width = refs.rows.shape[-1]

    def add_camera(i, total):
        camera = refs.cameras[block.sample, block.number, i]

        def add_point(point, total):
            corners, weight = _samples(value_shape, refs, block, camera, point)
            for corner in corners:
                factor = weight * corner.share_x * corner.share_y
                total += _read(refs.rows, corner) * factor[:, None]
            return total

        return jax.lax.fori_loop(0, refs.points.shape[0], add_point, total)

    count = refs.cameras[block.sample, block.number, value_shape[1]]
    total = jax.lax.fori_loop(0, count, add_camera, jnp.zeros((QUERIES, width), jnp.float32))
    out[block.sample, block.head, block.queries, :] = total


def _backward_kernel(value_shape, *refs):
    *operands, gradient, _, to_rows, to_offsets, to_weights = refs
    refs, block = Operands(*operands), _block()
    own = gradient[block.sample, block.head, block.queries, :]
    count = refs.cameras[block.sample, block.number, value_shape[1]]

    def of_point(point, carry):
        def add_camera(i, totals):
            camera = refs.cameras[block.sample, block.number, i]
            corners, weight = _samples(value_shape, refs, block, camera, point)
            to_x, to_y, to_weight = totals
            for corner in corners:
                to_factor = (_read(refs.rows, corner) * own).sum(axis=1)
                to_x += to_factor * weight * corner.share_y * corner.slope_x
                to_y += to_factor * weight * corner.share_x * corner.slope_y
                to_weight += to_factor * corner.share_x * corner.share_y
                _add(to_rows, corner, (weight * corner.share_x * corner.share_y)[:, None] * own)
            return to_x, to_y, to_weight

        zeros = jnp.zeros(QUERIES, jnp.float32)
        to_x, to_y, to_weight = jax.lax.fori_loop(0, count, add_camera, (zeros, zeros, zeros))
        to_offsets[block.sample, block.head, point, 0, block.queries] = to_x
        to_offsets[block.sample, block.head, point, 1, block.queries] = to_y
        to_weights[block.sample, block.head, point, block.queries] = to_weight
        return carry

    jax.lax.fori_loop(0, refs.points.shape[0], of_point, 0)


def _add(rows_ref, corner: _Corner, values: Float[Array, "Q d"]) -> None:
    """Adds to the rows of a corner that are read, in any order."""
    if INTERPRET:  # Pallas's interpreter loses what is added to a row twice
        rows_ref[...] = rows_ref[...].at[corner.row].add(jnp.where(corner.is_read[:, None], values, 0.0))
        return
    index, mask = _index(corner, rows_ref.shape[-1])
    triton.atomic_add(rows_ref, index, values, mask=mask)
