"""The surrogate tasks on the BEV (D7, D9): reconstruct what was masked, predict what comes (dima-paper 2.4, 2.5).

Both compare a vector per cell of the BEV query grid with the layer-normed average of the BEV tokens in that cell; a
norm without gain keeps the target's size fixed, so the encoder cannot win by shrinking. The targets carry no gradient.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from dima_jax import geometry
from dima_jax.types import Term

MIN_INSIDE = 0.5  # share of a cell's BEV tokens that must have been inside the future view
NORM_EPS = 1e-5


def reconstruction(
    prediction: Float[Array, "B g D"],
    bev: Float[Array, "B YX D"],
    masked: Bool[Array, "B g"],
    bev_shape: tuple[int, int],
    grid: tuple[int, int],
) -> Term:
    """Mean square over channels, summed over masked cells; count = masked cells.

    bev: the unmasked BEV tokens of the current frame.
    """
    target = lax.stop_gradient(layer_norm(cell_average(bev, bev_shape, grid)))  # the stop of D7
    return _squares(prediction, target, masked)


def future(
    prediction: Float[Array, "B 2 g D"],
    bevs: Float[Array, "B 2 YX D"],
    frame_to_current: Float[Array, "B 2 4 4"],
    frame_mask: Bool[Array, "B 2"],
    bev_shape: tuple[int, int],
    grid: tuple[int, int],
    pc_range: tuple[float, ...],
) -> Term:
    """Mean square over channels, summed over the cells of both horizons that count; the rest as `future_target`."""
    target, mask = future_target(bevs, frame_to_current, frame_mask, bev_shape, grid, pc_range)
    return _squares(prediction, target, mask)


def future_target(
    bevs: Float[Array, "B 2 YX D"],
    frame_to_current: Float[Array, "B 2 4 4"],
    frame_mask: Bool[Array, "B 2"],
    bev_shape: tuple[int, int],
    grid: tuple[int, int],
    pc_range: tuple[float, ...],
) -> tuple[Float[Array, "B 2 g D"], Bool[Array, "B 2 g"]]:
    """What the BEV will be at this place (D9): future BEVs warped into the current frame, averaged over cells, normed.

    bevs: of the next two key frames, each in its own LiDAR frame. frame_mask: False where there is no such frame.
    A cell counts when at least half of it was in the future frame's range; only that part is averaged.
    """
    warped, inside = jax.vmap(warp_bev, in_axes=(1, 1, None, None), out_axes=1)(
        lax.stop_gradient(bevs), frame_to_current, bev_shape, pc_range
    )
    average = jax.vmap(cell_average, in_axes=(1, None, None), out_axes=1)
    weight = inside[..., None].astype(warped.dtype)
    share = average(weight, bev_shape, grid)
    mean = average(warped * weight, bev_shape, grid) / jnp.maximum(share, NORM_EPS)
    return layer_norm(mean), (share[..., 0] >= MIN_INSIDE) & frame_mask[..., None]


def cell_average(
    bev: Float[Array, "B YX C"], bev_shape: tuple[int, int], grid: tuple[int, int]
) -> Float[Array, "B g C"]:
    """Mean of the BEV tokens in each cell of a coarser grid, row-major like the BEV.

    Row r belongs to cell row r * grid_rows // rows, so cells differ by at most one row or column.
    """
    rows, columns = (_membership(*sizes) for sizes in zip(bev_shape, grid, strict=True))
    image = bev.reshape(bev.shape[0], *bev_shape, bev.shape[-1])
    return jnp.einsum("gy,hx,byxc->bghc", rows, columns, image).reshape(bev.shape[0], -1, bev.shape[-1])


def _membership(size: int, cells: int) -> Float[Array, "cells size"]:
    """Row i averages the places that belong to cell i."""
    belongs = (jnp.arange(size) * cells // size)[None, :] == jnp.arange(cells)[:, None]
    return belongs / belongs.sum(axis=1, keepdims=True)


def warp_bev(
    bev: Float[Array, "B YX D"],
    frame_to_current: Float[Array, "B 4 4"],
    bev_shape: tuple[int, int],
    pc_range: tuple[float, ...],
) -> tuple[Float[Array, "B YX D"], Bool[Array, "B YX"]]:
    """Another frame's BEV as seen from the current frame, and which cells that frame covers.

    Each cell center of the current frame (at height 0) is found in the other frame and read bilinearly.
    """
    rows, columns = bev_shape
    x, y = (jnp.arange(columns) + 0.5) / columns, (jnp.arange(rows) + 0.5) / rows
    unit = jnp.stack(jnp.meshgrid(x, y), axis=-1).reshape(-1, 2)
    here = geometry.denormalize_xy(unit, pc_range)
    here = jnp.concatenate([here, jnp.zeros_like(here[:, :1]), jnp.ones_like(here[:, :1])], axis=-1)
    there = jnp.einsum("bij,nj->bni", jnp.linalg.inv(frame_to_current), here)[..., :2]
    there = geometry.normalize_xy(there, pc_range)
    inside = jnp.all((there >= 0.0) & (there <= 1.0), axis=-1)
    place = there * jnp.array([columns, rows]) - 0.5  # in cells: 0 = center of the first
    return jax.vmap(_bilinear, in_axes=(0, 0, None))(bev, place, bev_shape), inside


def _bilinear(bev: Float[Array, "YX D"], place: Float[Array, "n 2"], bev_shape: tuple[int, int]):
    """Values at places (column, row) in cells; beyond the outermost centers the edge value."""
    limit = jnp.array([bev_shape[1] - 1, bev_shape[0] - 1])
    place = jnp.clip(place, 0.0, limit)
    low = jnp.minimum(jnp.floor(place).astype(jnp.int32), jnp.maximum(limit - 1, 0))
    high = jnp.minimum(low + 1, limit)
    fx, fy = jnp.moveaxis(place - low, -1, 0)[..., None]

    def at(column, row):
        return bev[row * bev_shape[1] + column]

    (x0, y0), (x1, y1) = low.T, high.T
    upper = at(x0, y0) * (1 - fx) + at(x1, y0) * fx
    lower = at(x0, y1) * (1 - fx) + at(x1, y1) * fx
    return upper * (1 - fy) + lower * fy


def layer_norm(x: Float[Array, "*n D"]) -> Float[Array, "*n D"]:
    """Zero mean and unit variance over channels, float32, no gain."""
    x = x.astype(jnp.float32)
    x = x - x.mean(axis=-1, keepdims=True)
    return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + NORM_EPS)


def _squares(prediction, target, mask) -> Term:
    error = jnp.mean((prediction.astype(jnp.float32) - target) ** 2, axis=-1)
    return Term(jnp.where(mask, error, 0.0).sum(), mask.sum().astype(jnp.float32))
