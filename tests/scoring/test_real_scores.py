"""Published plans on real nuScenes: the numbers that were published come out, in either frame, collisions included."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
from rich.console import Console

from data_prep.key_frames import matrix
from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.metrics.protocols import registry
from dima_jax.scoring import align, controls, headings, pickles, predictions, result, run, tables
from dima_jax.scoring.frames import brought
from dima_jax.scoring.recorded import Truth
from tests import realdata
from tests.scoring import toy

CATEGORY = {name: LIDARSEG_CATEGORIES.index(category) for category, name in reversed(CLASS_OF_CATEGORY.items())}
FUTURES = ("future_offsets", "future_mask", "future_yaw")
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
    """81 frames of two scenes with poses, annotations and their futures; no visibility, no map."""
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
    of = json.loads((realdata.folder() / "derived" / "mini_val_instance_tokens.json").read_text())
    instances = [of[info["token"]] for info in infos]
    futures = [
        futures_of(i, boxes, instances, poses["ego2global"] @ poses["lidar2ego"], mask[i]) for i in range(len(infos))
    ]
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
        **{key: np.concatenate(parts) for key, parts in zip(FUTURES, zip(*futures, strict=True), strict=True)},
        **poses,
        **paths,
    )


def futures_of(index, boxes, instances, poses, known):
    """(offsets, mask, heading differences) of a frame's agents, as long as their instance is annotated."""
    count = len(boxes[index])
    offsets, mask, yaw = np.zeros((count, 6, 2)), np.zeros((count, 6), bool), np.zeros((count, 6))
    last, going = brought(boxes[index], np.broadcast_to(np.eye(4), (count, 4, 4))), np.ones(count, bool)
    for step in range(int(known.sum())):
        row = {token: k for k, token in enumerate(instances[index + step + 1]) if token is not None}
        going &= [token in row for token in instances[index]]
        now = np.flatnonzero(going)
        pose = np.linalg.inv(poses[index]) @ poses[index + step + 1]
        there = boxes[index + step + 1][[row[instances[index][k]] for k in now]]
        place = brought(there, np.broadcast_to(pose, (len(now), 4, 4)))
        offsets[now, step], mask[now, step] = place[:, :2] - last[now, :2], True
        yaw[now, step] = (place[:, 2] - last[now, 2] + np.pi) % (2 * np.pi) - np.pi
        last[now] = place
    return offsets.astype(np.float32), mask, yaw.astype(np.float32)


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
        *("stp3_vad", "uniad", "bevplanner", "paradrive_std", "sparsedrive")
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


@pytest.mark.parametrize(
    ("protocol", "l2", "collision", "any_3s"),
    [
        ("stp3_vad", 0.486, 0.0, 0.0),
        ("bevplanner", 0.486, 1 / 3 / 69, 1 / 69),
        ("paradrive_std", 1.081, 1 / 3 / 67, 1 / 77),
        ("sparsedrive", 0.486, 1 / 6 / 3 / 69, 1 / 69),
    ],
)
def test_agent_driver_collides_in_one_frame(scored, protocol, l2, collision, any_3s):
    """At its last step; VAD's protocol, whose ego never turns, does not see it. On 69 frames of six known steps."""
    found = scored["lidar"]["scores"][protocol]["all frames"]["agent_driver"]
    told = [found[name]["value"] for name in ("l2_avg", "collision_avg", "any_3s")]
    np.testing.assert_allclose(told, [l2, collision, any_3s], atol=5e-4)
    assert found["l2_avg"]["low"] < l2 < found["l2_avg"]["high"]


def test_what_uniads_mask_rule_costs(scored):
    """2, 4 and 6 frames of each drive lack the step at 1, 2 and 3 s: so much lower is what divides by all frames."""
    found = scored["lidar"]["scores"]["uniad"]["all frames"]["agent_driver"]
    for horizon, frames in (("1s", 77), ("2s", 73), ("3s", 69)):
        published, masked = found[f"l2_{horizon}"], found[f"l2_masked_{horizon}"]
        assert published["value"] / masked["value"] == pytest.approx(frames / 81)
        assert (published["frames"], masked["frames"]) == (81, frames)
    assert [round(found[name]["value"], 2) for name in ("l2_avg", "l2_masked_avg")] == [0.94, 1.07]
    console = Console(width=150, record=True, file=io.StringIO())
    tables.print_all(scored["lidar"], console)
    printed = console.export_text()
    assert "l2 masked m" in printed and "0.26 0.86 2.10 1.07" in printed and "0.24 0.78 1.79 0.94" in printed
