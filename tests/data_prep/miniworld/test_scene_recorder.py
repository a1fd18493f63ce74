"""A recorded scene: the official devkit reads it, and its numbers agree with the simulation."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box, view_points

from data_prep.miniworld.render import rig
from tests.data_prep.miniworld import small_world
from tests.data_prep.miniworld.small_world import SIZE


def test_rows_point_at_each_other(tables):
    for scene in tables.scene:
        chain = list(small_world.samples(tables, scene))
        assert len(chain) == scene["nbr_samples"] == 35
        assert chain[-1]["token"] == scene["last_sample_token"]
        assert np.all(np.diff([sample["timestamp"] for sample in chain]) == 500_000)
        for sample in chain:
            assert set(sample["data"]) == set(rig.RIG)
    for row in tables.sample_data:
        assert (Path(tables.dataroot) / row["filename"]).stat().st_size > 1000
        assert row["timestamp"] == tables.get("ego_pose", row["ego_pose_token"])["timestamp"]
        if row["next"]:
            after = tables.get("sample_data", row["next"])
            assert after["prev"] == row["token"] and after["channel"] == row["channel"]
    for instance in tables.instance:
        token, times = instance["first_annotation_token"], []
        while token:
            row = tables.get("sample_annotation", token)
            assert row["instance_token"] == instance["token"]
            times.append(tables.get("sample", row["sample_token"])["timestamp"])
            last, token = token, row["next"]
        assert last == instance["last_annotation_token"] and len(times) == instance["nbr_annotations"]
        assert np.all(np.diff(times) == 500_000)  # no gap, so `next` is the next key frame


def test_images_and_clouds_have_their_declared_form(tables):
    sample = tables.sample[3]
    for channel in rig.RIG:
        row = tables.get("sample_data", sample["data"][channel])
        path = tables.get_sample_data_path(row["token"])
        if channel == "LIDAR_TOP":
            points = LidarPointCloud.from_file(path).points
            assert points.shape[0] == 4 and points.shape[1] > 1000
            assert np.abs(points[:2]).max() > 10
        else:
            assert cv2.imread(path).shape == (row["height"], row["width"], 3) == (*SIZE[::-1], 3)


def test_annotations_are_the_simulated_agents(tables, simulated):
    states = simulated[0]
    for k, sample in enumerate(small_world.samples(tables, tables.scene[0])):
        pose = tables.get("ego_pose", tables.get("sample_data", sample["data"]["LIDAR_TOP"])["ego_pose_token"])
        assert pose["translation"] == pytest.approx([states[k].ego.x, states[k].ego.y, 0], abs=1e-4)
        truth = {(round(a.x, 4), round(a.y, 4)): a for a in states[k].agents}
        assert sample["anns"]
        for token in sample["anns"]:
            row = tables.get("sample_annotation", token)
            agent = truth[tuple(row["translation"][:2])]
            assert row["size"] == pytest.approx([agent.width, agent.length, agent.height], abs=1e-4)
            assert tables.get_box(token).orientation.yaw_pitch_roll[0] == pytest.approx(
                np.angle(np.exp(1j * agent.yaw)), abs=1e-6
            )
            assert row["category_name"] == agent.category
            names = [tables.get("attribute", key)["name"] for key in row["attribute_tokens"]]
            if agent.category == "vehicle.car":
                moving = "vehicle.moving" if agent.speed > 0.3 else "vehicle.stopped"
                assert names == ["vehicle.parked" if agent.parked else moving]


def test_lidar_points_are_counted_as_the_devkit_counts(tables):
    total = 0
    for sample in tables.sample[::9]:
        token = sample["data"]["LIDAR_TOP"]
        path, boxes, _ = tables.get_sample_data(token)
        points = LidarPointCloud.from_file(path).points[:3]
        for box in boxes:
            inside = points_in_box(box, points)
            lifted = inside & (points[2] > box.center[2] - box.wlh[2] / 2 + 0.06)  # not the road below it
            row = tables.get("sample_annotation", box.token)
            assert lifted.sum() - 1 <= row["num_lidar_pts"] <= inside.sum() + 1
            total += row["num_lidar_pts"]
    assert total > 100


def test_boxes_cover_the_painted_agents(tables, simulated):
    """Every painted agent is annotated, its pixels lie inside its projected box, and whole ones fill it."""
    states, painter, _ = simulated
    chain = list(small_world.samples(tables, tables.scene[0]))
    overlaps = []
    for k in (0, 12, 25):
        state, masks = states[k], painter.masks(states[k])
        anns = {tuple(tables.get("sample_annotation", t)["translation"][:2]): t for t in chain[k]["anns"]}
        for channel, mask in masks.items():
            token = chain[k]["data"][channel]
            _, boxes, intrinsic = tables.get_sample_data(token)
            in_image = {box.token: box for box in boxes}
            for index in np.flatnonzero(np.bincount(mask.ravel())[1:] >= 30):
                agent = state.agents[index]
                box = in_image[anns[round(agent.x, 4), round(agent.y, 4)]]
                ys, xs = np.nonzero(mask == index + 1)
                if (box.corners()[2] < 0.5).any():
                    continue  # reaches behind the camera
                x, y, _ = view_points(box.corners(), intrinsic, normalize=True)
                assert xs.min() >= x.min() - 1.5 and xs.max() <= x.max() + 1.5
                assert ys.min() >= y.min() - 1.5 and ys.max() <= y.max() + 1.5
                whole = tables.get("sample_annotation", box.token)["visibility_token"] == "4"
                if whole and len(xs) > 60 and x.min() > 0 and y.min() > 0 and x.max() < SIZE[0] and y.max() < SIZE[1]:
                    painted = (np.ptp(xs) + 1) * (np.ptp(ys) + 1)
                    overlaps.append(painted / ((x.max() - x.min() + 1) * (y.max() - y.min() + 1)))
    assert len(overlaps) >= 5
    assert np.mean(overlaps) > 0.8 and max(overlaps) < 1.25


def test_visibility_is_what_is_painted(tables, simulated):
    states, painter, _ = simulated
    chain = list(small_world.samples(tables, tables.scene[0]))
    found = set()
    for k in (5, 20):
        places = [(round(a.x, 4), round(a.y, 4)) for a in states[k].agents]
        share = dict(zip(places, painter.visibility(states[k]), strict=True))
        for token in chain[k]["anns"]:
            row = tables.get("sample_annotation", token)
            level = tables.get("visibility", row["visibility_token"])["level"]
            low, high = map(int, level[1:].split("-"))
            assert low / 100 <= share[tuple(row["translation"][:2])] <= high / 100
            found.add(level)
    assert len(found) >= 2
