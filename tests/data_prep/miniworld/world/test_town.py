"""The town's layers fit together: lanes connect, lie on the road, and houses and signals stand off it."""

import numpy as np
import pytest
import shapely

from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.town import load_town


def area(polygon):
    return shapely.Polygon(polygon.exterior, polygon.holes)


@pytest.fixture(scope="module")
def town():
    return load_town()


@pytest.fixture(scope="module")
def drivable(town):
    return shapely.union_all([area(p) for p in town.drivable])


def test_everything_is_valid_and_inside_the_town(town):
    outlines = [area(p) for p in (*town.drivable, *town.walkways)]
    outlines += [area(p) for p, _ in (*town.crossings, *town.stop_lines)] + [area(p) for _, p, _ in town.road_segments]
    outlines += [area(lane.polygon) for lane in town.lanes.values()] + [shapely.Polygon(b) for b, _ in town.buildings]
    assert all(outline.is_valid and outline.area > 0.5 for outline in outlines)
    assert shapely.box(0, 0, *town.size).contains(shapely.union_all(outlines))
    assert min(town.size) > 450 and max(town.size) < 650


def test_connectors_join_the_lanes_they_name(town):
    for lane in town.lanes.values():
        assert lane.successors, f"{lane.id} is a dead end"
        for successor in lane.successors:
            assert town.lanes[successor].is_connector != lane.is_connector
            np.testing.assert_allclose(town.lanes[successor].centerline[0], lane.centerline[-1], atol=0.05)


def test_streets_are_two_way_with_one_and_two_lanes(town):
    lanes_of = {edge.getID(): len(road_network.car_lanes(edge)) for edge in road_network.streets()}
    assert set(lanes_of.values()) == {1, 2}
    assert all(edge[2:] + edge[:2] in lanes_of for edge in lanes_of)


def test_drivable_area_is_one_piece_and_holds_the_lanes(town, drivable):
    assert len(town.drivable) == 1
    lanes = shapely.union_all([area(lane.polygon) for lane in town.lanes.values() if not lane.is_connector])
    assert lanes.difference(drivable).area < 1e-3 * lanes.area
    centers = [shapely.LineString(lane.centerline) for lane in town.lanes.values() if lane.is_connector]
    assert all(drivable.buffer(0.1).contains(line) for line in centers)


def test_walkways_and_drivable_area_share_almost_nothing(town, drivable):
    walkways = shapely.union_all([area(p) for p in town.walkways])
    assert walkways.intersection(drivable).area < 0.02 * walkways.area


def test_crossings_lie_on_the_road_at_junctions(town, drivable):
    junctions = {i for i, _, is_junction in town.road_segments if is_junction}
    for polygon, place in town.crossings:
        assert place in junctions
        assert area(polygon).intersection(drivable).area > 0.9 * area(polygon).area


def test_road_dividers_run_between_opposite_lanes(town):
    lanes = [lane for lane in town.lanes.values() if not lane.is_connector]
    for divider in town.road_dividers:
        line = shapely.LineString(divider)
        middle, ahead = (np.array(line.interpolate(line.length / 2 + d).coords[0]) for d in (0.0, 1.0))
        left = np.array([-(ahead - middle)[1], (ahead - middle)[0]])
        sides = []
        for point in (middle - 1.7 * left, middle + 1.7 * left):
            lane = next(lane for lane in lanes if area(lane.polygon).contains(shapely.Point(point)))
            nearest = np.argmin(np.linalg.norm(lane.centerline - point, axis=1))
            nearest = min(nearest, len(lane.centerline) - 2)
            sides.append(float((lane.centerline[nearest + 1] - lane.centerline[nearest]) @ (ahead - middle)))
        assert sides[0] > 0 > sides[1]


def test_each_light_has_two_heads_off_the_road_and_a_stop_line_on_it(town, drivable):
    heads = {signal.id: signal for signal in town.signals}
    named = [head for _, ids in town.stop_lines for head in ids]
    assert sorted(named) == sorted(heads) and len(heads) == 2 * len(road_network.signal_links())
    for polygon, ids in town.stop_lines:
        assert area(polygon).intersection(drivable).area > 0.9 * area(polygon).area
        for head in ids:
            assert drivable.distance(shapely.Point(heads[head].x, heads[head].y)) >= 0.5
        if ids:
            near, far = (np.array([heads[i].x, heads[i].y]) for i in ids)
            assert (far - near) @ (np.cos(heads[ids[0]].yaw), np.sin(heads[ids[0]].yaw)) > 8.0


def test_buildings_keep_off_roads_walkways_and_each_other(town, drivable):
    houses = [shapely.Polygon(outline) for outline, _ in town.buildings]
    walkways = shapely.union_all([area(p) for p in town.walkways])
    assert len(houses) > 150
    assert all(house.distance(drivable) > 0.9 and house.distance(walkways) > 0.9 for house in houses)
    assert shapely.union_all(houses).area == pytest.approx(sum(house.area for house in houses))
