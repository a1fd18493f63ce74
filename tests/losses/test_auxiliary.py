"""Dense targets by geometry that one can draw, and the losses of cells and of groups of queries."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.constants import AGENT_CLASSES, LIDAR_HEIGHT, MAP_CLASSES
from dima_jax.data import fake_batch
from dima_jax.losses import auxiliary
from dima_jax.types import AgentTargets, AuxiliaryOutput, Facts, MapTargets
from tests.mini import mini_config

CAR, PEDESTRIAN = AGENT_CLASSES.index("car"), AGENT_CLASSES.index("pedestrian")
BOUNDARY = len(AGENT_CLASSES) + MAP_CLASSES.index("boundary")
PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
IMAGE, LEVEL, BEV = (64, 96), (8, 12), (20, 10)  # cells of 8 x 8 pixels, and of 3 x 3 meters


def camera():
    """Looks ahead from the LiDAR: focal length 48 pixels, center (48, 32)."""
    intrinsics = np.array([[48, 0, 48, 0], [0, 48, 32, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    axes = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], np.float32)  # right, down, ahead
    return jnp.asarray(intrinsics @ axes)[None, None]


def agents(*rows):
    """(x, y, label, real) each: boxes 2 m wide, 4 m long, 2 m high, driving ahead, their centers at the LiDAR's height."""
    count = len(rows)
    boxes = np.zeros((1, count, 9), np.float32)
    boxes[0, :, :2] = [row[:2] for row in rows]
    boxes[0, :, 3:6] = (2.0, 4.0, 2.0)
    boxes[0, :, 6] = -np.pi  # heading pi / 2
    none = np.zeros((1, count, 6), np.float32)
    return AgentTargets(
        boxes=jnp.asarray(boxes),
        labels=jnp.asarray([[row[2] for row in rows]], jnp.int32),
        category=jnp.zeros((1, count), jnp.int32),
        mask=jnp.asarray([[row[3] for row in rows]]),
        future_offsets=jnp.zeros((1, count, 6, 2)),
        future_mask=jnp.asarray(none, bool),
        future_yaw=jnp.asarray(none),
    )


def lines(*ends, real=True):
    """A straight boundary between two points each: [1, L, 1, 4, 2]."""
    points = np.stack([np.linspace(start, end, 4) for start, end in ends])[None, :, None].astype(np.float32)
    count = len(ends)
    return MapTargets(
        points=jnp.asarray(points),
        normalized_points=jnp.asarray(points),
        order_mask=jnp.ones((1, count, 1), bool),
        labels=jnp.full((1, count), MAP_CLASSES.index("boundary"), jnp.int32),
        mask=jnp.full((1, count), real),
    )


NO_LINE = lines(((0.0, 0.0), (1.0, 0.0)), real=False)


def test_a_car_is_in_the_image_cells_of_its_rectangle_and_the_nearer_of_two_counts():
    both = agents(
        (0.0, 12.0, CAR, True), (0.0, 22.0, PEDESTRIAN, True), (0.0, 8.0, CAR, False), (0.0, -12.0, CAR, True)
    )
    classes, log_depth, known = auxiliary.image_targets(both, NO_LINE, camera(), IMAGE, LEVEL)
    # Nearest face at 10 m: 2 m wide and high are 9.6 pixels, from 43.2 to 52.8 and from 27.2 to 36.8.
    expected = np.zeros(LEVEL, bool)
    expected[3:5, 5:7] = True
    np.testing.assert_array_equal(known[0, 0], expected)
    np.testing.assert_array_equal(classes[0, 0, ..., CAR], expected)
    assert not classes[0, 0, ..., PEDESTRIAN].any()
    np.testing.assert_allclose(np.exp(log_depth[0, 0][expected]), 12.0, rtol=1e-5)


def test_a_line_on_the_ground_is_in_the_image_cells_that_it_crosses():
    nobody = agents((0.0, 12.0, CAR, False))
    line = lines(((-5.0, 8.0), (5.0, 8.0)))
    classes, _, known = auxiliary.image_targets(nobody, line, camera(), IMAGE, LEVEL)
    row = int((32 + 48 * LIDAR_HEIGHT / 8) // 8)
    found = np.asarray(classes[0, 0, ..., BOUNDARY])
    assert not known.any()
    assert found[row, 3:9].all()
    assert found.sum() == found[row].sum()


def test_bev_cells_of_a_car_and_of_a_line():
    targets = auxiliary.bev_targets(
        agents((1.5, 4.5, CAR, True)), lines(((-14.0, -28.5), (14.0, -28.5))), BEV, PC_RANGE
    )
    grid = np.asarray(targets[0]).reshape(*BEV, -1)
    rows, columns = np.nonzero(grid[..., CAR])
    # Cell (11, 5) has its center at (1.5, 4.5); half a cell of margin reaches the next row's centers (2 + 1.5 >= 3).
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(10, 5), (11, 5), (12, 5)]
    np.testing.assert_array_equal(np.argwhere(grid[..., BOUNDARY])[:, 0], 0)
    assert grid[0, :, BOUNDARY].all()


def test_certain_right_cells_cost_nothing_and_a_shift_costs():
    targets = auxiliary.bev_targets(agents((1.5, 4.5, CAR, True)), NO_LINE, BEV, PC_RANGE)
    certain = jnp.where(targets, 20.0, -20.0)
    right, wrong = (auxiliary._class_term(logits, targets) for logits in (certain, jnp.roll(certain, 1, axis=1)))
    assert float(right.sum) == pytest.approx(0.0, abs=1e-4)
    assert float(wrong.sum) > 1.0
    assert float(right.count) == 3.0


def test_heads_that_are_off_have_no_terms():
    config = mini_config()
    none = AuxiliaryOutput(None, None, None)
    shapes = dict(history=1, image_shape=IMAGE, bev_shape=BEV, pc_range=PC_RANGE)
    assert auxiliary.auxiliary_terms(none, fake_batch.example(config), **shapes) == {}


def test_facts_that_are_known_count_alone():
    facts = Facts(known=jnp.array([[True, True, False]]), holds=jnp.array([[True, False, False]]))
    right = auxiliary.fact_term(jnp.array([[20.0, -20.0, 20.0]]), facts)
    unsure = auxiliary.fact_term(jnp.zeros((1, 3)), facts)
    assert float(right.sum) == pytest.approx(0.0, abs=1e-6) and float(right.count) == 2.0
    assert float(unsure.sum) == pytest.approx(2 * np.log(2.0), rel=1e-6)
