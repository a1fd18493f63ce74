"""Infos become truths: of a made-up drive, whose closed form is known, and of the 81 real frames of mini_val."""

import gzip
import json

import numpy as np
import pytest
from pyquaternion import Quaternion

from data_prep import truth_field
from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from dima_jax.scoring.recorded import GROUPS
from tests import realdata
from tests.scoring.fake import fake_truth

SAME = ("masks", "paths", "yaw", "ego_paths", "ego_yaw", "poses", "scenes", "times", "agents", "instances", "futures")


@pytest.fixture(scope="module")
def drive():
    return fake_truth(scenes=2, frames=8, agents=6)


def pose(name, matrix):
    turn = Quaternion(matrix=matrix).elements.tolist()
    return {f"{name}_translation": matrix[:3, 3].tolist(), f"{name}_rotation": turn}


def published(found):
    """(infos, instance tokens) of a truth."""
    infos, instances = [], {}
    for i, token in enumerate(found.tokens.tolist()):
        rows = slice(*found.agent_start[i : i + 2])
        categories = [LIDARSEG_CATEGORIES[one] for one in found.category[rows]]
        infos.append(
            {
                "token": token,
                "scene_token": str(found.scene_names[found.scene[i]]),
                "timestamp": int(found.timestamp[i]),
                **pose("lidar2ego", found.lidar2ego[i]),
                **pose("ego2global", found.ego2global[i]),
                "gt_boxes": found.boxes[rows, :7].tolist(),
                "gt_velocity": found.boxes[rows, 7:].tolist(),
                "gt_names": [CLASS_OF_CATEGORY.get(one, one) for one in categories],
                "num_lidar_pts": found.lidar_points[rows].tolist(),
                "num_radar_pts": found.radar_points[rows].tolist(),
            }
        )
        instances[token] = found.instance_tokens[found.instance[rows]].tolist()
    return infos, instances


def make(folder, infos, instances=None, scenes=None):
    files = {"infos.json": {"infos": infos, "metadata": {}}, "instances.json": instances, "scenes.json": scenes}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    given = [str(folder / name) for name in ("infos.json", "instances.json") if files[name] is not None]
    arrays, header = truth_field.make(given, "val", str(folder / "scenes.json") if scenes else None, None)
    truth.check(arrays)
    return arrays, header


def close(found, expected, key):
    if found.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, atol=2e-5, err_msg=key)
    else:
        np.testing.assert_array_equal(found, expected, key)


def test_infos_of_a_drive_give_it_again(drive, tmp_path):
    infos, instances = published(drive)
    arrays, header = make(tmp_path, infos[::-1], instances)
    assert header["source"] == {"kind": "infos", "files": ["infos.json", "instances.json"]} and "scenes" not in header
    for group in SAME:
        for key in GROUPS[group]:
            assert arrays[key].dtype == getattr(drive, key).dtype
            close(arrays[key], getattr(drive, key), key)
    found = truth.Truth({}, **arrays)
    assert found.has("commands", "history") and not found.has("ego_inputs") and not found.has("tags")
    first = slice(0, 2)  # of a road that goes straight on
    np.testing.assert_array_equal(found.command[first], drive.command[first])


def test_scenes_from_a_file_come_before_those_of_infos(drive, tmp_path):
    infos, _ = published(drive)
    scenes = {info["token"]: info.pop("scene_token").replace("scene", "other") for info in infos}
    arrays, _ = make(tmp_path, infos, scenes=scenes)
    assert arrays["scene_names"].tolist() == ["other-0000", "other-0001"]
    assert "instance" not in arrays and "future_mask" not in arrays and "boxes" in arrays
    with pytest.raises(UserError, match=rf"sample {infos[0]['token']}: its scene is not known; give --scenes"):
        make(tmp_path, infos)


def test_an_instance_that_is_not_known_has_no_future(drive, tmp_path):
    infos, instances = published(drive)
    for names in instances.values():
        names[2] = None
    arrays, _ = make(tmp_path, infos, instances)
    assert not arrays["future_mask"].reshape(-1, 6, 6)[:, 2].any()
    np.testing.assert_array_equal(
        np.delete(arrays["future_mask"].reshape(-1, 6, 6), 2, axis=1),
        np.delete(drive.future_mask.reshape(-1, 6, 6), 2, axis=1),
    )


def set_key(key, value):
    return lambda infos, instances: infos[3].update({key: value})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (set_key("token", 5), "info 3 has no token or no timestamp"),
        (set_key("timestamp", 1.5), "info 3 has no token or no timestamp"),
        (set_key("timestamp", 10**30), "info 3 has no token or no timestamp"),
        (lambda infos, _: infos[3].update(token=infos[2]["token"]), "is there twice|has not the 6 instances"),
        (set_key("gt_names", ["car"]), r"gt_boxes has the shape \(6, 7\), not \[1, 7\]"),
        (set_key("gt_names", None), "gt_names is no list of names"),
        (
            lambda infos, _: infos[3]["gt_boxes"][0].__setitem__(0, float("nan")),
            "gt_boxes has a box that is not finite",
        ),
        (lambda infos, _: infos[3]["gt_boxes"][0].__setitem__(3, 0.0), "gt_boxes has a box .* no volume"),
        (set_key("num_lidar_pts", [1e12] * 6), "a number that is no count"),
        (set_key("lidar2ego_rotation", [0, 0, 0, 0]), "lidar2ego is no pose"),
        (set_key("ego2global_translation", [0, 0]), "ego2global is no pose"),
        (set_key("ego2global_translation", None), "ego2global_translation is not an array of numbers"),
        (lambda infos, _: infos.pop(3), "1.0 s after the key frame before: give whole scenes"),
        (lambda infos, names: names[infos[3]["token"]].pop(), r"instances\.json: sample .* has not the 6 instances"),
        (lambda infos, names: names[infos[3]["token"]].__setitem__(0, 4), "has not the 6 instances"),
        (lambda infos, names: names.pop(infos[3]["token"]), "has not the 6 instances"),
        (lambda infos, names: names[infos[3]["token"]].__setitem__(0, names[infos[3]["token"]][1]), "one instance"),
        (lambda infos, _: infos.clear(), "has no infos"),
    ],
)
def test_infos_that_are_not_whole_are_refused(drive, tmp_path, change, why):
    infos, instances = published(drive)
    change(infos, instances)
    with pytest.raises(UserError, match=why) as raised:
        make(tmp_path, infos, instances)
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture(scope="module")
def mini_val(tmp_path_factory):
    """(infos, instance tokens, truth) of scene-0103 and scene-0916, which are of two logs."""
    folder = realdata.folder() / "derived"
    infos = json.loads(gzip.decompress((folder / "mini_val_infos.json.gz").read_bytes()))["infos"]
    of_log = {"n008": "scene-0103", "n015": "scene-0916"}
    scenes = {info["token"]: of_log[info["lidar_path"].rsplit("/", 1)[-1][:4]] for info in infos}
    file = tmp_path_factory.mktemp("mini_val") / "scenes.json"
    file.write_text(json.dumps(scenes))
    names = str(folder / "mini_val_instance_tokens.json")
    arrays, header = truth_field.make([str(folder / "mini_val_infos.json.gz"), names], "mini_val", str(file), None)
    truth.check(arrays)
    instances = json.loads((folder / "mini_val_instance_tokens.json").read_text())
    return {info["token"]: info for info in infos}, instances, truth.Truth(header, **arrays)


def test_81_real_frames(mini_val):
    infos, instances, found = mini_val
    assert len(found.tokens) == 81 and np.bincount(found.scene).tolist() == [40, 41] and len(found.boxes) == 4514
    assert np.bincount(found.path_mask.sum(axis=1)).tolist() == [2, 2, 2, 2, 2, 2, 69]
    unknown = 0
    for i, token in enumerate(found.tokens.tolist()):
        rows = slice(*found.agent_start[i : i + 2])
        np.testing.assert_array_equal(found.boxes[rows, :7], np.float32(infos[token]["gt_boxes"]))
        none = np.array([name is None for name in instances[token]], bool)
        unknown += none.sum()
        assert not found.future_mask[rows][none].any()
        tokens = found.instance_tokens[found.instance[rows]]
        assert tokens[~none].tolist() == [name for name in instances[token] if name is not None]
    assert unknown == 73
    assert not found.has("tags") and not found.has("ego_inputs") and "scenes" not in found.header


def test_real_futures_reach_the_next_boxes(mini_val):
    """Moved to global coordinates, a box and its first step end at the center of the next key frame's box."""
    _, _, found = mini_val
    to_global = found.ego2global @ found.lidar2ego
    far = 0
    for i in np.flatnonzero(np.diff(found.scene) == 0):
        here, after = (slice(*found.agent_start[j : j + 2]) for j in (i, i + 1))
        known = found.future_mask[here, 0]
        then = {instance: row for row, instance in enumerate(found.instance[after])}
        rows = [then[instance] for instance in found.instance[here][known]]
        global_then = found.boxes[after][rows][:, :3] @ to_global[i + 1, :3, :3].T + to_global[i + 1, :3, 3]
        local = (global_then - to_global[i, :3, 3]) @ to_global[i, :3, :3]
        end = found.boxes[here][known, :2] + found.future_offsets[here][known, 0]
        np.testing.assert_allclose(end, local[:, :2], atol=1e-3)
        far += known.sum()
    assert far > 4000


def test_600_published_paths_are_those_of_the_real_poses(mini_val):
    """Eight of them are in mini_val; they were rounded to a tenth of a millimeter."""
    found = mini_val[2]
    file = realdata.folder() / "planning" / "worldvla_got_nuscenes_val_600_gt.json"
    published = {row["sample_token"]: row for row in json.loads(file.read_text())}
    shared = [i for i, token in enumerate(found.tokens.tolist()) if token in published]
    assert len(shared) == 8
    for i in shared:
        np.testing.assert_allclose(found.ego_path[i], published[str(found.tokens[i])]["waypoints"], atol=2e-3)
