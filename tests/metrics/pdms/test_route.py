"""The lanes that a drive took, on the roads of `tests.scoring.fake`: a right lane, its connector, and the other way."""

import numpy as np
import pytest
import shapely

from dima_jax.metrics.pdms import route as routes
from dima_jax.metrics.pdms.route import route
from tests.metrics.pdms.changed import changed
from tests.scoring.fake import LANE, ROAD_END, ROAD_START, SPEED, along_road, fake_truth, pose

TRUTH = fake_truth(scenes=3, frames=12, agents=2)
AHEAD = 1.486
MIDDLE = ROAD_END - 40.0


def another_map(truth=TRUTH, **arrays):
    """A map is known by its rings: they are another array, as those of another file."""
    return changed(truth, ring_vertices=truth.ring_vertices.copy(), **arrays)


def row_of(scene, place):
    """Row of the area of a scene's part, in the order of `fake._areas`: 3, 4 lanes, 5, 6 connectors."""
    return 10 * scene + place


@pytest.mark.parametrize("index", [0, 5, 13, 29])
def test_the_route_is_the_lane_that_was_driven(index):
    found, scene, s = route(TRUTH, index, AHEAD), index // 12, SPEED * 0.5 * (index % 12)
    line = found.line
    for ahead in (0, 20, 60, 100):
        x, y, _ = along_road(scene, s + AHEAD + ahead, 0.0)
        if s + ahead + AHEAD < ROAD_END:
            assert line.distance(shapely.Point(x, y)) < 0.05
            assert line.line_locate_point(shapely.Point(x, y)) == pytest.approx(20 + ahead, abs=0.1)
    assert line.length == pytest.approx(120, abs=0.1)


def test_what_follows_the_drive_is_on_the_route_as_far_as_it_is_seen():
    assert route(TRUTH, 0, AHEAD).lanes == {row_of(0, 3), row_of(0, 5)}
    near = another_map(center_successor_start=np.zeros(13, np.int64), center_successors=np.zeros(0, np.int32))
    found = route(near, 0, AHEAD)
    assert found.lanes == {row_of(0, 3)}
    assert found.line.length == pytest.approx(120, abs=0.1)  # straight on where the map ends
    assert found.line.distance(shapely.Point(*along_road(0, MIDDLE + 15, 0.0)[:2])) < 0.05


def test_lanes_beside_in_the_same_road_block_are_legal():
    """The road block of the right lane grows over both lanes, and with it the way to the connector is open to both."""
    rings = TRUTH.ring_vertices.copy()
    block = slice(*TRUTH.ring_vertex_start[[row_of(0, 8), row_of(0, 8) + 1]])
    s = np.linspace(ROAD_START, MIDDLE, 60)
    rings[block] = np.concatenate(
        [np.stack(along_road(0, s, d)[:2], -1)[:: 1 if d < 0 else -1] for d in (-LANE / 2, LANE * 1.5)]
    )
    found = route(changed(TRUTH, ring_vertices=rings), 0, AHEAD)
    assert found.lanes == {row_of(0, 3), row_of(0, 4), row_of(0, 5)}


def moved_drive(d, heading=0.0):
    """Scene 0 driven d meters to the left of its lane."""
    places = [along_road(0, SPEED * 0.5 * k, d(k) if callable(d) else d) for k in range(12)]
    poses = np.array([pose(x, y, yaw + heading) for x, y, yaw in places])
    return changed(TRUTH, ego2global=np.concatenate([poses, TRUTH.ego2global[12:]]))


def test_far_from_any_centerline_there_is_no_route():
    assert route(moved_drive(-3.9), 3, AHEAD) is not None
    assert route(moved_drive(-4.1), 3, AHEAD) is None


def test_across_a_lane_there_is_no_route():
    assert route(moved_drive(0.0, heading=0.9), 3, AHEAD) is not None
    assert route(moved_drive(0.0, heading=1.1), 3, AHEAD) is None


def test_a_drive_in_the_lane_of_the_others_is_on_its_own_lane():
    assert route(moved_drive(LANE), 3, AHEAD).lanes == {row_of(0, 3), row_of(0, 5)}
    assert route(moved_drive(LANE, heading=np.pi), 3, -AHEAD).lanes >= {row_of(0, 4)}


def test_a_change_of_lane_is_a_jump():
    """The other lane is turned around: now both go the same way, and the drive changes to it after 3 s."""
    center = slice(*TRUTH.center_start[[1, 2]])
    lines = TRUTH.center_vertices.copy()
    lines[center] = lines[center][::-1]
    truth = another_map(moved_drive(lambda k: LANE * np.clip((k - 5) / 2, 0, 1)), center_vertices=lines)
    found = route(truth, 0, AHEAD)
    assert found.lanes == {row_of(0, 3), row_of(0, 4)}
    for s, d in ((10.0, 0.0), (30.0, LANE)):
        assert found.line.distance(shapely.Point(*along_road(0, s, d)[:2])) < 0.05


def test_a_route_depends_on_the_whole_scene_alone():
    part = TRUTH.select(np.arange(12, 24))
    assert route(part, 4, AHEAD).line.equals_exact(route(TRUTH, 16, AHEAD).line, 1e-9)


def test_a_map_without_centerlines_has_no_route():
    truth = another_map(
        center_lane=np.zeros(0, np.int32),
        center_start=np.zeros(1, np.int64),
        center_vertices=np.zeros((0, 2)),
        center_successor_start=np.zeros(1, np.int64),
        center_successors=np.zeros(0, np.int32),
    )
    assert route(truth, 0, AHEAD) is None


def test_ways_of_up_to_three_lanes():
    lanes = routes.Lanes(np.arange(5), [], [], [[1], [2], [3], [4], []], shapely.STRtree([]))
    assert [routes._way(lanes, 0, one) for one in (1, 3, 4)] == [[1], [1, 2, 3], None]
