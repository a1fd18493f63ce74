"""The surrogate losses: cells, the BEV warp and both terms, on small grids by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.losses import surrogate

SHAPE = (6, 4)  # rows (y), columns (x)
PC_RANGE = (-4.0, -6.0, -2.0, 4.0, 6.0, 2.0)  # cells of 2 m


def pose(x=0.0, y=0.0, yaw=0.0):
    """frame_to_current [1, 4, 4] of a frame at (x, y), turned by yaw."""
    c, s = np.cos(yaw), np.sin(yaw)
    return jnp.array([[[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, 0], [0, 0, 0, 1]]], jnp.float32)


def ramp():
    """Tokens that know where they are: channels (x, y) of the cell center in meters [1, 24, 2]."""
    y, x = np.meshgrid(np.arange(-5, 6, 2.0), np.arange(-3, 4, 2.0), indexing="ij")
    return jnp.asarray(np.stack([x, y], axis=-1).reshape(1, -1, 2), jnp.float32)


def test_cell_average_by_hand():
    bev = jnp.arange(12.0).reshape(1, 12, 1)  # 4 rows of 3
    average = surrogate.cell_average(bev, (4, 3), (2, 2))
    np.testing.assert_allclose(average[0, :, 0], [(0 + 1 + 3 + 4) / 4, (2 + 5) / 2, (6 + 7 + 9 + 10) / 4, (8 + 11) / 2])


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (pose(y=2.0), lambda x, y: (x, y - 2)),  # the other frame stands 2 m ahead
        (pose(x=-2.0), lambda x, y: (x + 2, y)),
        (pose(yaw=np.pi / 2), lambda x, y: (y, -x)),  # and turned left
        (pose(x=1.0, y=-1.0, yaw=np.pi), lambda x, y: (1 - x, -1 - y)),  # between cells
    ],
)
def test_warp_reads_the_same_place_in_the_other_frame(frame, expected):
    """A BEV that holds its own coordinates, warped, holds the coordinates of each place in the other frame."""
    warped, inside = surrogate.warp_bev(ramp(), frame, SHAPE, PC_RANGE)
    x, y = expected(*np.asarray(ramp())[0].T)
    np.testing.assert_array_equal(inside[0], (np.abs(x) <= 4) & (np.abs(y) <= 6))
    known = (np.abs(x) <= 3) & (np.abs(y) <= 5)  # between cell centers, where a ramp is read exactly
    assert known.sum() >= 6
    np.testing.assert_allclose(np.asarray(warped)[0][known], np.stack([x, y], axis=-1)[known], atol=1e-4)


def test_future_target_leaves_out_what_was_not_seen():
    """6 m ahead: the rear half of the current view lies behind the future frame's range, so its cells do not count."""
    bevs = jnp.stack([ramp(), ramp()], axis=1)
    poses = jnp.stack([pose(y=6.0), pose()], axis=1)
    target, mask = surrogate.future_target(bevs, poses, jnp.array([[True, True]]), SHAPE, (2, 1), PC_RANGE)
    assert mask.tolist() == [[[False, True], [True, True]]]
    assert np.isfinite(target).all()
    _, mask = surrogate.future_target(bevs, poses, jnp.array([[True, False]]), SHAPE, (2, 1), PC_RANGE)
    assert mask.tolist() == [[[False, True], [False, False]]]


def test_reconstruction_by_hand():
    """One cell per token, channels (1, -1) already normed; predicting zero costs 1 on each masked cell."""
    bev = jnp.tile(jnp.array([2.0, -2.0]), (1, 24, 1))
    masked = jnp.zeros((1, 24), bool).at[0, :5].set(True)
    term = surrogate.reconstruction(jnp.zeros((1, 24, 2)), bev, masked, SHAPE, SHAPE)
    np.testing.assert_allclose(term.sum, 5.0, rtol=1e-4)
    assert float(term.count) == 5
    exact = surrogate.reconstruction(jnp.sign(bev), bev, masked, SHAPE, SHAPE)
    np.testing.assert_allclose(exact.sum, 0.0, atol=1e-6)


def test_nothing_to_predict_is_finite():
    def total(prediction):
        term = surrogate.future(
            prediction, jnp.zeros((1, 2, 24, 2)), jnp.stack([pose(y=100.0)] * 2, axis=1), jnp.zeros((1, 2), bool),
            SHAPE, (2, 1), PC_RANGE,
        )  # fmt: skip
        return term.sum

    value, gradient = jax.value_and_grad(total)(jnp.ones((1, 2, 2, 2)))
    assert float(value) == 0.0 and not np.asarray(gradient).any()
