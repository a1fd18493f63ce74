"""Published plans on real nuScenes: the numbers that were published come out, in either frame, collisions included."""

import csv
import gzip
import json

import numpy as np
import pytest

from data_prep.key_frames import matrix
from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.metrics.protocols import registry
from dima_jax.scoring import align, controls, headings, pickles, predictions, result, run
from dima_jax.scoring.recorded import Truth
from tests import realdata
from tests.scoring import toy

CATEGORY = {name: LIDARSEG_CATEGORIES.index(category) for category, name in reversed(CLASS_OF_CATEGORY.items())}
HEADER = {"content_hash": "0" * 16, "data_hash": "", "token_hash": "0" * 16, "has": [], "split": "val"}


def waypoints_truth() -> Truth:
    """600 frames of 150 scenes with the path of the ego's origin alone."""
    rows = json.loads((realdata.folder() / "planning" / "worldvla_got_nuscenes_val_600_gt.json").read_text())
    rows.sort(key=lambda row: row["scene"])
    names, scene = np.unique([row["scene"] for row in rows], return_inverse=True)
    return Truth(
        HEADER,
        tokens=np.array([row["sample_token"] for row in rows]),
        scene=scene.astype(np.int32),
        scene_names=names,
        ego_path=np.array([row["waypoints"] for row in rows], np.float32),
        path_mask=np.ones((len(rows), 6), bool),
        future_valid=np.ones(len(rows), bool),
    )


def test_600_published_plans(tmp_path, monkeypatch):
    """Each distance to the millimeter that its plan was rounded to, and the published means as they were printed."""
    toy.register(monkeypatch)
    truth = waypoints_truth()
    with (realdata.folder() / "planning" / "worldvla_got_ref_per_sample.csv").open() as file:
        published = {row["sample_token"]: row for row in csv.DictReader(file)}
    plans = {token: json.loads(row["got_pred"]) for token, row in published.items()}
    (tmp_path / "got.json").write_text(json.dumps(plans))
    files = [predictions.load(tmp_path / "got.json", "ego"), *controls.plans(truth)]
    aligned = align.align(truth, files, allow_missing=False)
    found = run.score(truth, aligned, ["toy"], workers=1)["toy"]
    rows = [published[token] for token in truth.tokens.tolist()]
    for number, seconds in enumerate((1, 2, 3)):
        at = np.array([float(row[f"got_L2@{seconds}s"]) for row in rows])
        upto = np.array([float(row[f"got_avgL2@{seconds}s"]) for row in rows])
        np.testing.assert_allclose(found.values["l2"][0, :, 2 * seconds - 1], at, atol=1e-3)
        np.testing.assert_allclose(found.value[0, :, number], upto, atol=1e-3)
        assert round(float(found.value[0, :, number].mean()), 3) == round(float(upto.mean()), 3)
    told = result.build(truth, aligned, files, {"toy": found}, ["toy"])
    one = told["scores"]["toy"]["all frames"]["got"]["l2_3s"]
    assert f"{one['value']:.4f}" == "3.6072" and one["frames"] == 600 and one["low"] < 3.6 < one["high"]
    assert told["header"]["truth"]["scenes"] == 150


def mini_val_truth() -> Truth:
    """81 frames of two scenes with poses and annotations; no futures by instance, no visibility, no map."""
    with gzip.open(realdata.folder() / "derived" / "mini_val_infos.json.gz") as file:
        infos = json.load(file)["infos"]
    infos.sort(key=lambda info: info["timestamp"])
    time = np.array([info["timestamp"] for info in infos])
    scene = np.cumsum(np.diff(time, prepend=time[0]) > 5_000_000)
    first = np.searchsorted(scene, scene)
    poses = {
        name: np.stack([matrix({key: info[f"{name}_{key}"] for key in ("rotation", "translation")}) for info in infos])
        for name in ("lidar2ego", "ego2global")
    }
    index = np.arange(len(infos))[:, None] + np.arange(1, 7)
    mask = (index < len(infos)) & (scene[np.minimum(index, len(infos) - 1)] == scene[:, None])
    index = np.where(mask, index, np.arange(len(infos))[:, None] + mask.sum(1, keepdims=True))
    paths = {}
    for name, origin in (("path", poses["ego2global"] @ poses["lidar2ego"]), ("ego_path", poses["ego2global"])):
        there = np.linalg.inv(origin)[:, None] @ origin[index]
        paths[name] = there[..., :2, 3].astype(np.float32)
        ahead = np.arctan2(there[..., 1, 0], there[..., 0, 0]) + headings.AHEAD["lidar" if name == "path" else "ego"]
        paths[f"{name}_yaw"] = ahead.astype(np.float32)
    boxes = [np.c_[np.array(info["gt_boxes"]).reshape(-1, 7), info["gt_velocity"]] for info in infos]
    names = [name for info in infos for name in info["gt_names"]]
    return Truth(
        HEADER | {"has": ["paths"]},
        tokens=np.array([info["token"] for info in infos]),
        scene=scene.astype(np.int32),
        scene_names=np.array(["scene-0103", "scene-0916"]),
        frame_index=(np.arange(len(infos)) - first).astype(np.int32),
        scene_length=np.bincount(scene)[scene].astype(np.int32),
        path_mask=mask,
        future_valid=mask.all(axis=1),
        agent_start=np.concatenate([[0], np.cumsum([len(one) for one in boxes])]),
        boxes=np.concatenate(boxes).astype(np.float32),
        category=np.array([CATEGORY.get(name, 0) for name in names], np.int16),
        lidar_points=np.array([count for info in infos for count in info["num_lidar_pts"]], np.int32),
        radar_points=np.array([count for info in infos for count in info["num_radar_pts"]], np.int32),
        **poses,
        **paths,
    )


@pytest.fixture(scope="module")
def scored():
    """{frame of the file: content of scores.json} of Agent-Driver's plans, all protocols that the pieces allow."""
    truth = mini_val_truth()
    table = pickles.read(realdata.folder() / "planning" / "agent_driver_pred_trajs_dict.pkl")
    xy = np.stack([table[token] for token in truth.tokens.tolist()])
    lidar = np.concatenate([xy, headings.estimate(xy, np.pi / 2)[..., None]], axis=-1)
    told = {}
    for frame, plans in (("lidar", lidar), ("ego", headings.to_ego(lidar, truth.lidar2ego))):
        one = predictions.Predictions("agent_driver", "a.pkl", frame, truth.tokens.tolist(), plans, None, {})
        files = [one, *controls.plans(truth)]
        aligned = align.align(truth, files, allow_missing=False)
        names = list(registry.PROTOCOLS)
        told[frame] = result.build(truth, aligned, files, run.score(truth, aligned, names, workers=1), names)
    return told


def test_agent_driver_in_both_frames(scored):
    """The same drive: collisions are equal, distances those of two points of the vehicle."""
    assert {name for name, one in scored["lidar"]["protocols"].items() if one["available"]} >= {
        *("bevplanner", "paradrive_std", "sparsedrive")
    }
    for name, subsets in scored["lidar"]["scores"].items():
        lidar, ego = subsets["all frames"]["agent_driver"], scored["ego"]["scores"][name]["all frames"]["agent_driver"]
        for column, one in lidar.items():
            if one["value"] is None:
                assert ego[column]["value"] is None, (name, column)
            elif column.startswith("l2"):
                assert 0.05 < one["value"] < 2.5 and abs(one["value"] - ego[column]["value"]) < 0.1, (name, column)
            else:
                assert one == ego[column], (name, column)
            assert one["value"] is None or one["low"] <= one["value"] <= one["high"]
    assert scored["lidar"]["subsets"]["all frames"] == {"frames": 81, "scenes": 2, "ranked": False}


def test_agent_driver_beats_standing_still(scored):
    found = scored["lidar"]["scores"]["sparsedrive"]["all frames"]
    assert found["recorded path"]["l2_avg"]["value"] == 0 < found["agent_driver"]["l2_avg"]["value"]
    assert found["agent_driver"]["l2_avg"]["value"] < found["stand still"]["l2_avg"]["value"]
