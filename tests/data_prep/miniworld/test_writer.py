"""The mini world as written: the official devkit opens it, and every number in it agrees with the simulation."""

import hashlib
import itertools
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.map_expansion.bitmap import BitMap
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box, view_points
from nuscenes.utils.splits import create_splits_scenes, get_scenes_of_split

from data_prep import miniworld
from data_prep.miniworld import scene_recorder, writer
from data_prep.miniworld.map_expansion import LOCATION
from data_prep.miniworld.render import rig
from data_prep.miniworld.render.painter import Painter
from data_prep.miniworld.traffic import maneuvers
from data_prep.miniworld.world.town import load_town
from dima_jax.errors import UserError

SIZE, SECONDS, SEED = (256, 144), 17.5, 0
GOLDEN_TABLES = Path(__file__).parents[2] / "golden" / "data" / "info_converter" / "dev" / "v1.0-mini"


def wanted():
    return writer.settings(scenes=1, val_scenes=1, seed=SEED, size=SIZE, seconds=SECONDS)


def tree_hash(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One train and one val scene, written by two processes."""
    folder = tmp_path_factory.mktemp("miniworld") / "data"
    assert writer.write(folder, wanted(), workers=2) == 70
    return folder


@pytest.fixture(scope="module")
def tables(root):
    return NuScenes(writer.VERSION, str(root), verbose=False)


@pytest.fixture(scope="module")
def simulated():
    """The train scene as simulated, its key states, and a painter like the writer's."""
    scene = maneuvers.simulate(0, SEED, "train", SECONDS)
    painter = Painter(load_town(), SIZE, scene_recorder.light_seed(SEED, 0))
    return scene.states[::10], painter, scene


def samples(tables, scene):
    token = scene["first_sample_token"]
    while token:
        sample = tables.get("sample", token)
        yield sample
        token = sample["next"]


def test_stopped_run_goes_on_and_gives_the_same_bytes(root, tmp_path, monkeypatch):
    simulate, calls = maneuvers.simulate, []

    def stops_at_second(*arguments):
        calls.append(arguments[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return simulate(*arguments)

    monkeypatch.setattr(maneuvers, "simulate", stops_at_second)
    with pytest.raises(KeyboardInterrupt):
        writer.write(tmp_path / "data", wanted(), workers=1)
    assert not (tmp_path / "data" / writer.VERSION).exists()
    assert writer.write(tmp_path / "data", wanted(), workers=1) == 35
    assert calls == ["train", "val", "val"]  # the finished scene was kept
    assert tree_hash(tmp_path / "data") == tree_hash(root)
    assert writer.write(tmp_path / "data", wanted(), workers=1) == 0


def test_folder_of_other_content_is_refused(root, tmp_path):
    with pytest.raises(UserError, match="other flags"):
        writer.write(root, wanted()._replace(seed=1))
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty and not a mini world"):
        writer.write(tmp_path, wanted())


@pytest.mark.parametrize("text", ["400", "400x", "ax224", "8x8", "400x224x3"])
def test_bad_size_is_one_clear_line(text):
    with pytest.raises(UserError, match=re.escape(f"--size={text}: give width x height")):
        miniworld.parse_size(text)


def test_plan_skips_numbers_without_can_data():
    jobs = writer.plan(writer.settings(300, 60, 0, (400, 224)))
    names = [job.name for job in jobs]
    assert len(set(names)) == 360 and names == sorted(names)
    assert not {int(name[-4:]) for name in names} & writer.NO_CAN
    assert [(job.split, job.index) for job in jobs[298:302]] == [("train", 298), ("train", 299), ("val", 0), ("val", 1)]


def test_no_can_numbers_are_the_devkits(root):
    assert set(NuScenesCanBus(str(root)).can_blacklist) == writer.NO_CAN


def test_tables_have_the_fields_of_nuscenes(root):
    for name in writer.TABLES:
        ours = json.loads((root / writer.VERSION / f"{name}.json").read_text())
        theirs = json.loads((GOLDEN_TABLES / f"{name}.json").read_text())[0]
        assert ours and all(set(row) == set(theirs) - {"index"} for row in ours), name
        assert all(re.fullmatch("[0-9a-f]{32}", row["token"]) for row in ours) or name == "visibility"
        assert len({row["token"] for row in ours}) == len(ours), name


def test_rows_point_at_each_other(tables):
    for scene in tables.scene:
        chain = list(samples(tables, scene))
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


def test_splits_and_tags(tables):
    train, val = (get_scenes_of_split(f"miniworld_{name}", tables) for name in ("train", "val"))
    assert (train, val) == (["scene-0001"], ["scene-0002"])
    assert not {"miniworld_train", "miniworld_val"} & set(create_splits_scenes())
    text = {scene["name"]: scene["description"] for scene in tables.scene}
    assert text["scene-0001"].endswith(" tags: turn_left.") and "three_point_turn" in text["scene-0002"]


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
    for k, sample in enumerate(samples(tables, tables.scene[0])):
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
    chain = list(samples(tables, tables.scene[0]))
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
    chain = list(samples(tables, tables.scene[0]))
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


def test_can_bus(root, tables):
    can = NuScenesCanBus(str(root))
    for scene in tables.scene:
        name = scene["name"]
        pose, steering = can.get_messages(name, "pose"), can.get_messages(name, "steeranglefeedback")
        monitor, meta = can.get_messages(name, "vehicle_monitor"), can.get_messages(name, "meta")
        assert meta["pose"]["message_freq"] == pytest.approx(50, abs=0.1)
        assert meta["steeranglefeedback"]["message_freq"] == pytest.approx(100, abs=0.1)
        assert meta["vehicle_monitor"]["message_count"] == len(monitor) == 35
        by_time = {row["utime"]: row for row in pose}
        for sample in samples(tables, scene):
            row = tables.get("sample_data", sample["data"]["LIDAR_TOP"])
            ego = tables.get("ego_pose", row["ego_pose_token"])
            assert by_time[sample["timestamp"]]["pos"] == pytest.approx(ego["translation"], abs=2e-4)
            assert by_time[sample["timestamp"]]["orientation"] == pytest.approx(ego["rotation"], abs=1e-6)
        moved = np.hypot(*np.diff([row["pos"][:2] for row in pose], axis=0).T) * 50
        assert np.median(np.abs(moved - np.abs([row["vel"][0] for row in pose])[1:])) < 0.2
        assert {row["utime"] for row in pose} <= {row["utime"] for row in steering}
        route, driven = can.get_pose_and_route(name)
        assert route.shape[1] == driven.shape[1] == 2
    turn = np.array([row["rotation_rate"][2] for row in can.get_messages("scene-0001", "pose")])
    wheel = np.array([row["value"] for row in can.get_messages("scene-0001", "steeranglefeedback")])[::2][: len(turn)]
    assert np.corrcoef(turn, wheel)[0, 1] > 0.5  # left is positive


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
    lanes = {writer.token("lane", lane.id): lane for lane in town.lanes.values()}
    for token, points in maps.discretize_lanes(list(lanes), 1.0).items():
        points = np.array(points)
        assert points[[0, -1], :2] == pytest.approx(lanes[token].centerline[[0, -1]], abs=1e-6)
        followers = {writer.token("lane", key) for key in lanes[token].successors}
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


def test_questions_name_what_is_there(root, tables):
    drivelm = json.loads((root / "drivelm.json").read_text())
    assert set(drivelm) == {scene["token"] for scene in tables.scene}
    kinds = {"perception", "prediction", "planning", "behavior"}
    pairs = 0
    for scene, entry in drivelm.items():
        assert len(entry["key_frames"]) == 33  # all but the last second, whose future is not recorded
        for token, frame in entry["key_frames"].items():
            assert tables.get("sample", token)["scene_token"] == scene
            assert set(frame) == {"key_object_infos", "QA", "image_paths"} and set(frame["QA"]) == kinds
            for path in frame["image_paths"].values():
                assert (root / path.removeprefix("../nuscenes/")).is_file()
            for tag, info in frame["key_object_infos"].items():
                name, camera, x, y = tag.strip("<>").split(",")
                x1, y1, x2, y2 = info["2d_bbox"]
                assert re.fullmatch("c[1-9]", name) and camera in frame["image_paths"]
                assert 0 <= x1 < x2 <= 1600 and 0 <= y1 < y2 <= 900
                assert (float(x), float(y)) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=0.06)
            for pair in itertools.chain(*frame["QA"].values()):
                assert list(pair) == ["Q", "A", "C", "con_up", "con_down", "cluster", "layer"]
                assert set(re.findall("<c[^>]*>", pair["Q"] + pair["A"])) <= set(frame["key_object_infos"])
                pairs += 1
    assert pairs > 66 * 20


def test_questions_look_like_drivelms(root):
    """Our templates, tags replaced, are DriveLM's own wherever the released sample has that kind of question."""
    folder = Path(os.environ.get("DIMA_REALDATA", Path(__file__).parents[4] / "shared" / "realdata"))
    real = folder / "drivelm_challenge" / "data" / "train_sample.json"
    if not real.is_file():
        pytest.skip(f"{real} is absent; set DIMA_REALDATA to the folder of real data")

    def templates(path):
        found = set()
        for scene in json.loads(path.read_text()).values():
            for frame in scene["key_frames"].values():
                for kind, pairs in frame["QA"].items():
                    found |= {(kind, re.sub("<c[^>]*>", "<T>", pair["Q"])) for pair in pairs}
        return found

    theirs, ours = templates(real), templates(root / "drivelm.json")
    free = re.compile(r"^(What are objects|What is the status of|Are there)")  # depend on what stands where
    unknown = {q for kind, q in ours if not free.match(q) and (kind, q) not in theirs}
    assert unknown == set()
