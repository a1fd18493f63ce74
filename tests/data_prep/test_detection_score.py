"""nuScenes' score by the devkit: what is perfect, what a shift, an attribute and a range cost, and what is refused."""

import json
import math
import shutil

import numpy as np
import pytest
from nuscenes.eval.detection.data_classes import DetectionBox

from data_prep import detection_results, detection_score
from data_prep.scenes import Root
from dima_jax.constants import AGENT_CLASSES
from dima_jax.errors import UserError
from dima_jax.scoring import perception_file
from tests import tiny_root
from tests.data_prep import annotated_root
from tests.data_prep.annotated_root import CLASSES


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    return annotated_root.annotate(shutil.copytree(dataset, tmp_path_factory.mktemp("annotated") / "root"))


@pytest.fixture(scope="module")
def root(folder):
    return Root(str(folder), tiny_root.VERSION)


def results_of(root, found, tmp_path):
    tokens = annotated_root.perfect(root)[0]
    file = perception_file.load(annotated_root.write(tmp_path / "x.npz", tokens, found))
    at = detection_results.places(root, "val")
    return detection_results.results(file, at), at


def scores(root, found, tmp_path):
    results, at = results_of(root, found, tmp_path)
    detection_score.check(root, "x.npz", results)
    (tmp_path / "r.json").write_text(json.dumps({"meta": detection_results.META, "results": results}))
    split = detection_score.split_name(root, "val")
    return detection_score.scores(
        root, tmp_path / "r.json", split, tmp_path / "out", at, annotated_root.HEADER["pc_range"]
    )


def test_perfect_boxes(root, tmp_path):
    """1 over the classes that are annotated; nuScenes counts the other six as AP 0 and errors 1."""
    told = scores(root, annotated_root.perfect(root)[1], tmp_path)
    for protocol in ("nuscenes", "vad_range"):
        assert told[protocol].present == pytest.approx(
            {"NDS": 1.0, "mAP": 1.0, "mATE": 0, "mASE": 0, "mAOE": 0, "mAVE": 0, "mAAE": 0}, abs=5e-4
        )
    found = told["nuscenes"]
    assert sum(one["annotated"] > 0 for one in found.classes.values()) == CLASSES
    assert all(one["annotated"] == one["predicted"] for one in found.classes.values())
    share = 1 - CLASSES / 10
    expected = {"mAP": 1 - share, "mATE": share, "mASE": share, "mAOE": 5 / 9, "mAVE": 4 / 8, "mAAE": 4 / 8}
    errors = sum(value for name, value in expected.items() if name != "mAP")
    expected["NDS"] = (5 * (1 - share) + 5 - errors) / 10  # cones have no heading, barriers neither speed nor attribute
    assert found.numbers == pytest.approx(expected, abs=5e-4)
    assert found.devkit["nd_score"] == found.numbers["NDS"] and found.devkit["cfg"]["class_range"]["pedestrian"] == 40
    assert 0 < found.outside < 1 and not (tmp_path / "out" / "plots").exists()
    assert set(found.told()) == {"numbers", "present", "classes", "outside"}


def test_a_shift_costs_what_it_should(root, tmp_path):
    """Cars 0.7 m off are missed at one of the four thresholds, trucks at all of them 5 m up."""
    found = annotated_root.perfect(root)[1]
    for agents in found:
        agents.boxes[agents.labels == AGENT_CLASSES.index("car"), 0] += 0.7
        agents.boxes[agents.labels == AGENT_CLASSES.index("truck"), 1] += 5.0
    told = scores(root, found, tmp_path)["nuscenes"]
    assert told.classes["car"]["AP"] == pytest.approx(0.75) and told.classes["car"]["ATE"] == pytest.approx(
        0.7, abs=1e-3
    )
    assert told.classes["truck"]["AP"] == pytest.approx(0.0) and told.classes["pedestrian"]["AP"] == pytest.approx(1.0)
    present = told.present
    assert present["mAP"] == pytest.approx(2.75 / 4)
    assert present["mATE"] == pytest.approx((0.7 + 1.0) / 4, abs=1e-3)
    errors = [present[name] for name in ("mATE", "mASE", "mAOE", "mAVE", "mAAE")]
    assert errors[1:] == pytest.approx([0.25] * 4, abs=1e-3)  # a class without a match has errors 1
    assert present["NDS"] == pytest.approx((5 * 2.75 / 4 + 5 - sum(errors)) / 10)


def test_wrong_size_heading_velocity_and_attribute(root, tmp_path):
    found = annotated_root.perfect(root)[1]
    for agents in found:
        boxes, is_pedestrian = agents.boxes, agents.labels == AGENT_CLASSES.index("pedestrian")
        boxes[is_pedestrian, 3] *= 2
        boxes[is_pedestrian, 6] += 0.3
        boxes[is_pedestrian, 7] += 1.5
        boxes[agents.labels == AGENT_CLASSES.index("motorcycle"), 7] += 3.0  # all of them stand
    classes = scores(root, found, tmp_path)["nuscenes"].classes
    row = classes["pedestrian"]
    assert row["AP"] == pytest.approx(1.0) and row["ASE"] == pytest.approx(0.5, abs=1e-3)
    assert row["AOE"] == pytest.approx(0.3, abs=1e-3) and row["AVE"] == pytest.approx(1.5, abs=5e-3)
    assert classes["motorcycle"]["AAE"] == 1.0 and classes["truck"]["AAE"] == 0.0


def test_vads_range(root, tmp_path):
    """What is less sure than 0.2 is dropped; what lies outside of the rectangle neither helps nor hurts."""
    found = annotated_root.perfect(root)[1]
    whole = scores(root, found, tmp_path)
    for agents in found:
        away = (np.abs(agents.boxes[:, :2]) > (17.0, 33.0)).any(axis=1)
        agents.boxes[away, :2] += np.sign(agents.boxes[away, :2]) * 10
    beside = scores(root, found, tmp_path)
    assert beside["vad_range"].numbers == pytest.approx(whole["vad_range"].numbers, abs=1e-6)
    assert beside["nuscenes"].numbers["mAP"] < whole["nuscenes"].numbers["mAP"] - 0.01
    # the rectangle along the global axes holds other annotations than the one along the ego's
    assert whole["vad_range_as_coded"].present["mAP"] < 0.9
    unsure = [agents._replace(scores=np.full(len(agents.labels), 0.19)) for agents in annotated_root.perfect(root)[1]]
    told = scores(root, unsure, tmp_path)
    assert told["vad_range"].numbers["mAP"] == 0 and told["nuscenes"].present["mAP"] > 0.8


def test_the_rectangles():
    place = detection_results.Place(
        "token",
        {"translation": [0, 0, 0], "rotation": [1, 0, 0, 0]},
        {"translation": [100, 50, 0], "rotation": [math.sqrt(0.5), 0, 0, math.sqrt(0.5)]},  # drives along global y
    )
    for x, y, along_ego, along_global in ((0, 29, True, False), (29, 0, False, True), (14, 14, True, True)):
        box = DetectionBox("token", (100 + x, 50 + y, 0), (1, 1, 1), (1, 0, 0, 0), (0, 0), (x, y, 0))
        assert detection_score._along_ego(box, place) is along_ego
        assert detection_score._along_global(box, place) is along_global


def test_over_no_class():
    assert all(math.isnan(value) for value in detection_score.over([], 5).values())


def test_what_the_devkit_would_stop_at(root, folder, tmp_path):
    tokens, found = annotated_root.perfect(root)
    nothing = [type(agents)(*(field[:0] for field in agents)) for agents in found]
    results, at = results_of(root, nothing, tmp_path)
    with pytest.raises(UserError, match=r"x\.npz: holds no agent; there is nothing to score"):
        detection_score.check(root, "x.npz", results)
    many = [type(found[0])(*(np.repeat(field[:1], 501, axis=0) for field in found[0])), *found[1:]]
    results, _ = results_of(root, many, tmp_path)
    with pytest.raises(UserError, match=f"x.npz: more than 500 agents in {tokens[0]}; give the best 500"):
        detection_score.check(root, "x.npz", results)
    results, _ = results_of(root, found, tmp_path)
    row = root.tables.get("sample_annotation", root.tables.get("sample", tokens[0])["anns"][0])
    before = row["attribute_tokens"]
    row["attribute_tokens"] = ["at_vehicle.moving", "at_vehicle.parked"]
    with pytest.raises(UserError, match=rf"sample_annotation.json: {row['token']} has 2 attributes; leave one"):
        detection_score.check(root, "x.npz", results)
    row["attribute_tokens"] = before
    detection_score.check(root, "x.npz", results)
    kept = {one: root.tables.get("sample", one)["anns"] for one in at}
    for one in at:
        root.tables.get("sample", one)["anns"] = []
    with pytest.raises(UserError, match="no agent of the ten classes is annotated in this split"):
        detection_score.check(root, "x.npz", results)
    for one, anns in kept.items():
        root.tables.get("sample", one)["anns"] = anns


def test_splits_of_ones_own(root, copy):
    assert detection_score.split_name(root, "val") == "mini_val"
    path = copy / tiny_root.VERSION / "splits.json"
    path.write_text(json.dumps({"mine_train": ["scene-0061"], "mine_val": ["scene-0103"]}))
    assert detection_score.split_name(Root(str(copy), tiny_root.VERSION), "val") == "mine_val"
    path.write_text(json.dumps({"mini_train": ["scene-0103"], "mini_val": ["scene-0061"]}))
    with pytest.raises(
        UserError, match=r"the devkit has a split 'mini_val' of its own; name it otherwise, e.g. 'mine_val'"
    ):
        detection_score.split_name(Root(str(copy), tiny_root.VERSION), "val")
