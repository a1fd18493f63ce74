"""The surrogate tasks on the BEV: reconstruct masked cells, predict future ones (docs/decisions.md#d7, #d9).

Both compare a vector per cell of the BEV query grid with the layer-normalized average of the BEV tokens in that cell.
The normalization has no gain, so the encoder cannot lower the loss by shrinking its tokens. Targets carry no gradient.
Axes beside those of `types.py`: g cells of the grid, n places. bev_shape, grid: (rows, columns).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from dima_jax import geometry
from dima_jax.types import Term

MIN_INSIDE = 0.5  # share of a cell's BEV tokens that must lie inside the future frame's range
NORM_EPS = 1e-5


def reconstruction(
    prediction: Float[Array, "B g D"],
    bev: Float[Array, "B YX D"],
    masked: Bool[Array, "B g"],
    bev_shape: tuple[int, int],
    grid: tuple[int, int],
) -> Term:
    """Mean squared error over channels, summed over masked cells; count = masked cells.

    bev: the unmasked BEV tokens of the current frame.
    """
    target = lax.stop_gradient(layer_norm(cell_average(bev, bev_shape, grid)))
    return _squared_error(prediction, target, masked)


def future(
    prediction: Float[Array, "B 2 g D"],
    bevs: Float[Array, "B 2 YX D"],
    frame_to_current: Float[Array, "B 2 4 4"],
    frame_mask: Bool[Array, "B 2"],
    bev_shape: tuple[int, int],
    grid: tuple[int, int],
    pc_range: Sequence[float],
) -> Term:
    """Mean squared error over channels, summed over the cells of both horizons that count; count = such cells.

    Arguments and which cells count: see `future_target`.
    """
    target, mask = future_target(bevs, frame_to_current, frame_mask, bev_shape, grid, pc_range)
    return _squared_error(prediction, target, mask)


def future_target(
    bevs: Float[Array, "B 2 YX D"],
    frame_to_current: Float[Array, "B 2 4 4"],
    frame_mask: Bool[Array, "B 2"],
    bev_shape: tuple[int, int],
    grid: tuple[int, int],
    pc_range: Sequence[float],
) -> tuple[Float[Array, "B 2 g D"], Bool[Array, "B 2 g"]]:
    """(target, which cells count): future BEVs warped into the current frame, averaged over cells and normalized.

    bevs: of the next two key frames, each in its own LiDAR frame. frame_mask: False where there is no such frame.
    A cell counts when at least MIN_INSIDE of it lies in the future frame's range; only that part is averaged.
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


def _membership(size: int, cells: int) -> Float[Array, "{cells} {size}"]:
    """The matrix that averages `size` rows (or columns) of the BEV into `cells` cells."""
    belongs = (jnp.arange(size) * cells // size)[None, :] == jnp.arange(cells)[:, None]
    return belongs / belongs.sum(axis=1, keepdims=True)


def warp_bev(
    bev: Float[Array, "B YX D"],
    frame_to_current: Float[Array, "B 4 4"],
    bev_shape: tuple[int, int],
    pc_range: Sequence[float],
) -> tuple[Float[Array, "B YX D"], Bool[Array, "B YX"]]:
    """(another frame's BEV resampled in the current frame, which cells that frame covers).

    Each cell center of the current frame (at height 0) is located in the other frame and interpolated bilinearly.
    frame_to_current: LiDAR frame of the other frame to that of the current one.
    """
    rows, columns = bev_shape
    x, y = (jnp.arange(columns) + 0.5) / columns, (jnp.arange(rows) + 0.5) / rows
    unit = jnp.stack(jnp.meshgrid(x, y), axis=-1).reshape(-1, 2)
    centers = geometry.denormalize_xy(unit, pc_range)
    centers = jnp.concatenate([centers, jnp.zeros_like(centers[:, :1]), jnp.ones_like(centers[:, :1])], axis=-1)
    in_other = jnp.einsum("bij,nj->bni", jnp.linalg.inv(frame_to_current), centers)[..., :2]
    in_other = geometry.normalize_xy(in_other, pc_range)
    inside = jnp.all((in_other >= 0.0) & (in_other <= 1.0), axis=-1)
    cells = in_other * jnp.array([columns, rows]) - 0.5  # 0 = center of the first cell
    return jax.vmap(_bilinear, in_axes=(0, 0, None))(bev, cells, bev_shape), inside


def _bilinear(bev: Float[Array, "YX D"], cells: Float[Array, "n 2"], bev_shape: tuple[int, int]) -> Float[Array, "n D"]:
    """Values at places (column, row) in units of cells; beyond the outermost centers the edge value."""
    limit = jnp.array([bev_shape[1] - 1, bev_shape[0] - 1])
    cells = jnp.clip(cells, 0.0, limit)
    low = jnp.minimum(jnp.floor(cells).astype(jnp.int32), jnp.maximum(limit - 1, 0))
    high = jnp.minimum(low + 1, limit)
    fx, fy = jnp.moveaxis(cells - low, -1, 0)[..., None]

    def at(column: Int[Array, " n"], row: Int[Array, " n"]) -> Float[Array, "n D"]:
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


def _squared_error(prediction: Float[Array, "*n D"], target: Float[Array, "*n D"], mask: Bool[Array, "*n"]) -> Term:
    error = jnp.mean((prediction.astype(jnp.float32) - target) ** 2, axis=-1)
    return Term(jnp.where(mask, error, 0.0).sum(), mask.sum().astype(jnp.float32))
