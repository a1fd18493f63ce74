"""The point cloud: surfaces, occlusion, frame, determinism."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.miniworld.render import lidar, rig
from data_prep.miniworld.visibility import Boxes, count_points
from tests.data_prep.miniworld import straight_road


@pytest.fixture(scope="module")
def street():
    return straight_road.town()


def scan(town, state, seed=0):
    return lidar.scan(town, state, np.random.default_rng(seed))


def to_world(points, state):
    pose = rig.sensor_to_world("LIDAR_TOP", state.ego)
    return points[:, :3].astype(float) @ pose[:3, :3].T + pose[:3, 3]


def inside(points, agent):
    """Which world points lie in the agent's box, the lowest 5 cm left out."""
    offset = points[:, :2] - (agent.x, agent.y)
    c, s = np.cos(agent.yaw), np.sin(agent.yaw)
    along, across = offset @ (c, s), offset @ (-s, c)
    on = (np.abs(along) <= agent.length / 2) & (np.abs(across) <= agent.width / 2)
    return on & (points[:, 2] > 0.05) & (points[:, 2] <= agent.height)


def test_format_and_ground(street):
    state = straight_road.state(x=20.0)
    points = scan(street, state)
    assert points.dtype == np.float32 and points.shape[1] == 5
    assert 2000 < len(points) <= lidar.RINGS * lidar.AZIMUTHS
    assert set(np.unique(points[:, 4])) <= set(range(lidar.RINGS))
    assert (points[:, 3] >= 0).all() and (points[:, 3] <= 255).all()
    low = points[points[:, 4] < 10]
    ground = low[(np.abs(low[:, 0]) < 3)]
    assert len(ground) > 50
    np.testing.assert_allclose(ground[:, 2], -1.84, atol=0.06)
    assert np.linalg.norm(points[:, :3], axis=1).max() <= lidar.MAX_RANGE


def test_points_lie_on_the_box_and_count_falls_with_distance(street):
    counts = []
    for distance in (8.0, 16.0, 32.0):
        agent = straight_road.agent(20.0 + distance, 48.0, yaw=0.3)
        state = straight_road.state(agent, x=20.0)
        points = to_world(scan(street, state), state)
        hit = inside(points, agent)
        counts.append(hit.sum())
        near = np.hypot(points[:, 0] - agent.x, points[:, 1] - agent.y) < 1.0
        assert not (near & (points[:, 2] < 1.2) & (points[:, 2] > 0.3) & ~hit).any()
    assert counts[0] > 100 and counts[2] >= 5
    assert counts[0] > 2 * counts[1] > 4 * counts[2] / 1.5


def test_frame_is_x_right_y_forward(street):
    agent = straight_road.agent(30.0, 52.0, "human.pedestrian.adult", (0.7, 0.7, 1.8))
    state = straight_road.state(agent, x=20.0)  # ahead and to the left
    points = scan(street, state)
    hit = points[inside(to_world(points, state), agent)]
    assert len(hit) >= 5
    np.testing.assert_allclose(hit[:, :2].mean(axis=0), [-4.0, 10.0 - 0.94], atol=0.5)


def test_nearer_body_takes_the_points_of_the_farther(street):
    far = straight_road.agent(40.0, 48.0)
    wall = straight_road.agent(30.0, 48.0, "vehicle.truck", (2.5, 6.0, 3.5))
    open_state, hidden_state = straight_road.state(far, x=20.0), straight_road.state(far, wall, x=20.0)
    assert inside(to_world(scan(street, open_state), open_state), far).sum() > 20
    assert inside(to_world(scan(street, hidden_state), hidden_state), far).sum() == 0


def test_low_body_leaves_the_view_over_it(street):
    """A cone hides a car's wheels but not its windows."""
    far, cone = (
        straight_road.agent(34.0, 48.0),
        straight_road.agent(30.5, 48.0, "movable_object.barrier", (3.0, 0.5, 0.6)),
    )
    state = straight_road.state(far, cone, x=20.0)
    points = to_world(scan(street, state), state)
    hit = points[inside(points, far)]
    assert len(hit) > 10
    alone = straight_road.state(far, x=20.0)
    low = to_world(scan(street, alone), alone)
    assert hit[:, 2].min() > low[inside(low, far)][:, 2].min()


def test_house_front_stops_the_rays(street):
    agent = straight_road.agent(70.0, 76.0, "vehicle.truck", (2.5, 7.0, 3.2))
    state = straight_road.state(agent, x=70.0)
    points = to_world(scan(street, state), state)
    assert inside(points, agent).sum() == 0
    ahead = points[(np.abs(points[:, 0] - 70.0) < 8) & (points[:, 1] > 57.0)]
    assert len(ahead) > 100
    assert (ahead[:, 1] < 58.1).all()
    assert ahead[:, 2].max() > 3.0
    open_points = to_world(scan(straight_road.town(houses=False), state), state)
    assert inside(open_points, agent).sum() > 20


def test_same_generator_same_points(street):
    state = straight_road.state(straight_road.agent(30.0, 48.0), x=20.0)
    np.testing.assert_array_equal(scan(street, state, 4), scan(street, state, 4))
    assert not np.array_equal(scan(street, state, 4)[:50], scan(street, state, 5)[:50])


def test_empty_world():
    town = straight_road.town(houses=False)
    points = scan(town, straight_road.state(x=20.0))
    assert len(points) > 2000 and np.isfinite(points).all()


@pytest.mark.parametrize("category", ["vehicle.car", "human.pedestrian.adult"])
def test_expected_points_are_about_those_of_a_sweep(street, category):
    expected, counted = [], []
    for x, y, yaw in ((26.0, 48.0, 0.0), (32.0, 50.0, 0.7), (40.0, 46.0, 1.5), (12.0, 52.0, 2.2), (50.0, 48.0, 0.3)):
        agent = replace(straight_road.agent(x, y, yaw=yaw), category=category)
        state = straight_road.state(agent, x=20.0)
        eye = rig.sensor_to_world("LIDAR_TOP", state.ego)[:3, 3]
        boxes = Boxes(state.agents)
        expected.append(lidar.expected_points(boxes, eye, np.ones(1))[0])
        assert lidar.expected_points(boxes, eye, np.zeros(1))[0] == 0
        counted.append(count_points(boxes, to_world(scan(street, state), state))[0])
    assert min(counted) > 0
    np.testing.assert_allclose(expected, counted, rtol=0.5, atol=6)
    far = Boxes([straight_road.agent(20.0 + lidar.MAX_RANGE + 1.0, 48.0)])
    assert lidar.expected_points(far, np.array([20.0, 48.0, 1.84]), np.ones(1)).tolist() == [0]
