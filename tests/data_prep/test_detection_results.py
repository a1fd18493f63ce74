"""Detection results: boxes where they are annotated, attributes by speed, whole splits alone."""

import shutil

import numpy as np
import pytest
from nuscenes.eval.detection.constants import ATTRIBUTE_NAMES, DETECTION_NAMES
from pyquaternion import Quaternion

from data_prep import detection_results
from data_prep.scenes import Root
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.constants import AGENT_CLASSES
from dima_jax.errors import UserError
from dima_jax.scoring import perception_file
from tests import tiny_root
from tests.data_prep import annotated_root


@pytest.fixture(scope="module")
def root(dataset):
    return Root(str(dataset), tiny_root.VERSION)


@pytest.fixture(scope="module")
def at(root):
    return detection_results.places(root, "val")


def loaded(path, tokens, found):
    return perception_file.load(annotated_root.write(path, tokens, found))


def test_boxes_are_where_they_are_annotated(root, at, tmp_path):
    tokens, found = annotated_root.perfect(root)
    results = detection_results.results(loaded(tmp_path / "x.npz", tokens, found), at)
    assert set(results) == set(at) and len(at) == 11
    count = 0
    for token in tokens:
        rows = [root.tables.get("sample_annotation", one) for one in root.tables.get("sample", token)["anns"]]
        rows = [row for row in rows if row["category_name"] in CLASS_OF_CATEGORY]
        assert len(rows) == len(results[token])
        for row, box in zip(rows, results[token], strict=True):
            np.testing.assert_allclose(box["translation"], row["translation"], atol=1e-4)
            np.testing.assert_allclose(box["size"], row["size"], atol=1e-6)
            turn = Quaternion(box["rotation"]).inverse * Quaternion(row["rotation"])
            assert abs(turn.yaw_pitch_roll[0]) < 1e-3
            velocity = np.nan_to_num(root.tables.box_velocity(row["token"])[:2])
            np.testing.assert_allclose(box["velocity"], velocity, atol=2e-3)
            assert box["detection_name"] in DETECTION_NAMES and box["sample_token"] == token
            assert type(box["detection_score"]) is float
            count += 1
    assert count > 30


@pytest.mark.parametrize(
    ("name", "moving", "standing"),
    [
        ("car", "vehicle.moving", "vehicle.parked"),
        ("truck", "vehicle.moving", "vehicle.parked"),
        ("construction_vehicle", "vehicle.moving", "vehicle.parked"),
        ("trailer", "vehicle.moving", "vehicle.parked"),
        ("bus", "vehicle.moving", "vehicle.stopped"),
        ("motorcycle", "cycle.with_rider", "cycle.without_rider"),
        ("bicycle", "cycle.with_rider", "cycle.without_rider"),
        ("pedestrian", "pedestrian.moving", "pedestrian.standing"),
        ("barrier", "", ""),
        ("traffic_cone", "", ""),
    ],
)
def test_attributes_go_by_speed(name, moving, standing):
    """As in mmdetection3d's nuScenes data set, which VAD and BEVFormer use."""
    assert name in AGENT_CLASSES
    assert detection_results.attribute(name, True) == moving
    assert detection_results.attribute(name, False) == standing
    assert {moving, standing} <= {*ATTRIBUTE_NAMES, ""}


def test_a_box_moves_above_a_fifth_of_a_meter_per_second(root, at, tmp_path):
    tokens, found = annotated_root.perfect(root)
    for agents, speed in zip(found, np.linspace(0.1, 0.3, len(found)), strict=True):
        agents.boxes[:, 7:] = speed * np.array([0.6, -0.8])
        agents.labels[:] = AGENT_CLASSES.index("pedestrian")
    results = detection_results.results(loaded(tmp_path / "x.npz", tokens, found), at)
    for token, speed in zip(tokens, np.linspace(0.1, 0.3, len(found)), strict=True):
        if abs(speed - 0.2) > 0.005:
            expected = "pedestrian.moving" if speed > 0.2 else "pedestrian.standing"
            assert {box["attribute_name"] for box in results[token]} == {expected}


def test_other_samples_are_refused_by_their_tokens(root, at, tmp_path):
    tokens, found = annotated_root.perfect(root)
    with pytest.raises(UserError, match=rf"x.npz: 2 of 11 samples of the split are not in the file: {tokens[9]}, "):
        detection_results.results(loaded(tmp_path / "x.npz", tokens[:9], found[:9]), at)
    other = ["elsewhere", *tokens[1:]]
    with pytest.raises(UserError, match="1 of 11 frames are not samples of the split: elsewhere; give the file of"):
        detection_results.results(loaded(tmp_path / "y.npz", other, found), at)
    with pytest.raises(UserError, match=r"--split=test: .* has train, val"):
        detection_results.places(root, "test")


def test_what_lies_outside(at):
    place = next(iter(at.values()))
    points = np.array([[14.0, 29.0, 0.0], [-16.0, 0.0, 0.0], [0.0, -31.0, 0.0], [14.9, -29.9, 1.0]])
    told = detection_results.outside(place.to_global(points), place, annotated_root.HEADER["pc_range"])
    assert told.tolist() == [False, True, True, False]
    np.testing.assert_allclose(place.to_lidar(place.to_global(points)), points, atol=1e-9)


def test_places_need_no_can_bus(copy):
    shutil.rmtree(copy / "can_bus")
    assert len(detection_results.places(Root(str(copy), tiny_root.VERSION), "val")) == 11
