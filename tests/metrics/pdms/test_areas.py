"""Flags of areas by hand and against their twin; drivable area and driving direction."""

import numpy as np
import shapely

from dima_jax.categories import AREA_LAYERS
from dima_jax.metrics.pdms import areas
from dima_jax.metrics.pdms.areas import Map
from tests.oracles import pdms as twin
from tests.scoring.fake import fake_truth


def town(*parts) -> Map:
    """parts: (layer, polygon); rows from 100 on."""
    shapes = [polygon for _, polygon in parts]
    layer = np.array([AREA_LAYERS.index(name) for name, _ in parts])
    return Map(100 + np.arange(len(parts)), layer, shapes, shapely.bounds(shapes))


ROAD = town(
    ("drivable_area", shapely.box(0, 0, 100, 10)),
    ("lane", shapely.box(0, 0, 60, 5)),
    ("lane", shapely.box(0, 5, 60, 10)),
    ("lane_connector", shapely.box(60, 0, 100, 5)),
    ("intersection", shapely.box(60, 0, 100, 10)),
    ("carpark_area", shapely.box(20, 10, 30, 20)),
    ("road_block", shapely.box(0, 0, 60, 20)),
)


def points(x, y, length=4.0, width=2.0) -> np.ndarray:
    """[1, 1, 6, 2] of a level box."""
    corners = [(x + a, y + b) for a, b in ((2, 1), (2, -1), (-2, -1), (-2, 1))]
    return np.array([*corners, (x, y), (x - 1.5, y)])[None, None]


def test_where_a_box_is():
    for x, y, several, off, crossing in (
        (20, 2.5, False, False, False),
        (20, 5.0, True, False, False),  # astride two lanes
        (59, 2.5, True, False, False),  # from a lane to its connector
        (20, 0.5, False, True, False),  # two corners beside the road
        (25, 10.0, False, False, False),  # half in the car park, half in a lane
        (15, 15.0, False, True, False),  # in a road block only, which nobody drives on
        (70, 2.5, False, False, True),
    ):
        told = areas.flags(ROAD, points(x, y))
        assert (told.several_lanes.item(), told.off_road.item()) == (several, off), (x, y)
        assert told.crossing[..., areas.CENTER].item() is crossing, (x, y)
    assert areas.flags(ROAD, points(70, 2.5)).in_lane[103].item()


def test_on_the_border_is_inside():
    assert not areas.flags(ROAD, points(2, 1)).off_road.item()
    assert areas.flags(ROAD, points(2 - 1e-9, 1)).off_road.item()


def test_one_sample_off_the_road_is_enough():
    drives = np.concatenate([points(20, 2.5), points(20, 0.9)], axis=1)
    told = areas.flags(ROAD, np.concatenate([drives, np.concatenate([points(20, 2.5)] * 2, axis=1)]))
    assert areas.drivable_compliance(told).tolist() == [0.0, 1.0]


def travel(start, speed, route=(102,), y=2.5):
    """DDC of 31 samples along x in the lane 101; the route is another lane by default."""
    x = start + 0.1 * speed * np.arange(31)
    told = areas.flags(ROAD, np.concatenate([points(one, y) for one in x], axis=1))
    centers = np.stack([x, np.full(31, y)], axis=-1)[None]
    found = areas.direction_compliance(told, centers, frozenset(route))
    lanes = [told.in_lane[row][0] for row in route if row in told.in_lane]
    legal = np.any([told.crossing[0, :, areas.CENTER], *lanes], axis=0)
    assert found.tolist() == [twin.direction(centers[0], legal)]
    return found.item()


def test_wrong_way_by_the_meters_of_the_worst_second():
    """Eleven samples of a window hold eleven steps: 1.1 s of travel, as in the source."""
    assert travel(5, 10.0, route=(101,)) == 1.0
    assert travel(5, 1.99 / 1.1) == 1.0 and travel(5, 2.01 / 1.1) == 0.5
    assert travel(5, 5.99 / 1.1) == 0.5 and travel(5, 6.01 / 1.1) == 0.0


def test_intersections_are_free():
    assert travel(61, 10.0) == 1.0
    assert travel(58.5, 10.0) == 1.0 and travel(57.5, 10.0) == 0.5


def test_equals_its_twin():
    rng, seen = np.random.default_rng(0), np.zeros(3, int)
    names = ("drivable_area", "lane", "lane", "lane", "lane_connector", "intersection", "carpark_area", "stop_line")
    for _ in range(60):
        parts = []
        for name in names:
            hull = shapely.MultiPoint(rng.uniform(-6, 6, (6, 2))).convex_hull
            hole = hull.centroid.buffer(0.5) if rng.random() < 0.3 else shapely.Polygon()
            parts.append((name, hull.difference(hole)))
        drives = rng.uniform(-7, 7, (2, 3, 6, 2)) * rng.choice([0.3, 1.0])
        told = areas.flags(town(*parts), drives)
        for at in np.ndindex(2, 3):
            several, off, crossing = twin.flags(drives[at], parts)
            assert (told.several_lanes[at], told.off_road[at]) == (several, off)
            assert told.crossing[at].tolist() == crossing
            seen += [several, off, not off]
    assert seen.min() > 10


def test_a_map_is_read_once_for_each_place():
    truth = fake_truth(scenes=3)
    one, other = areas.read(truth, 0), areas.read(truth, 1)
    assert one is areas.read(truth, 0) and set(one.rows) | set(other.rows) == set(range(len(truth.area_layer)))
    assert areas.has(one, "lane", "stop_line") and not areas.has(ROAD, "stop_line")
