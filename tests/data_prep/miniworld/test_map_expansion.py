"""The map expansion and the mask, as the devkit reads them."""

import numpy as np
import pytest
from nuscenes.map_expansion.bitmap import BitMap
from nuscenes.map_expansion.map_api import NuScenesMap

from data_prep.miniworld.map_expansion import LOCATION
from data_prep.miniworld.nuscenes_tables import token as token_of
from data_prep.miniworld.world.town import load_town


def test_map_is_the_town(root, tables):
    town, maps = load_town(), NuScenesMap(str(root), LOCATION)
    assert (len(maps.lane), len(maps.lane_connector)) == tuple(
        sum(lane.is_connector == kind for lane in town.lanes.values()) for kind in (False, True)
    )
    for name in (*maps.non_geometric_polygon_layers[1:-1], "lane_connector"):
        assert getattr(maps, name)
        assert all(maps.extract_polygon(row["polygon_token"]).is_valid for row in getattr(maps, name)), name
    for name in maps.non_geometric_line_layers:
        assert all(maps.extract_line(row["line_token"]).length > 0.1 for row in getattr(maps, name)), name
    lanes = {token_of("lane", lane.id): lane for lane in town.lanes.values()}
    for token, points in maps.discretize_lanes(list(lanes), 1.0).items():
        points = np.array(points)
        assert points[[0, -1], :2] == pytest.approx(lanes[token].centerline[[0, -1]], abs=1e-6)
        followers = {token_of("lane", key) for key in lanes[token].successors}
        assert set(maps.get_outgoing_lane_ids(token)) == followers
        assert all(token in maps.get_incoming_lane_ids(key) for key in followers)
    pose = tables.get("ego_pose", tables.sample_data[0]["ego_pose_token"])["translation"]
    box = (pose[0] - 50, pose[1] - 50, pose[0] + 50, pose[1] + 50)
    records = maps.get_records_in_patch(box, maps.non_geometric_layers)
    assert records["lane"] and records["road_segment"] and records["road_divider"]
    assert maps.get_map_mask((*pose[:2], 60, 30), 0, ["drivable_area", "lane"], (120, 60)).any((1, 2)).all()


def test_ego_drives_on_the_mask(root, tables):
    mask = tables.map[0]["mask"]
    places = np.array([row["translation"] for row in tables.ego_pose])
    assert mask.is_on_mask(places[:, 0], places[:, 1]).all()
    assert not mask.is_on_mask(np.array([1.0]), np.array([1.0])).any()
    assert BitMap(str(root), LOCATION, "semantic_prior").image.shape == mask.mask().shape
