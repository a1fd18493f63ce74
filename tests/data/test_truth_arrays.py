"""Records become the arrays of a truth: as evaluation reads them, bit by bit, and as closed forms say of paths."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.data import records, sequences, truth_arrays
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from dima_jax.scoring.recorded import GROUPS
from tests.scoring.fake import fake_truth

NOT_IN_RECORDS = ("visibility", "attributes", "curbs", "areas", "lights")


def parts(start, i):
    return slice(start[i], start[i + 1])


@pytest.fixture(scope="module")
def made(tiny_records):
    return truth_arrays.arrays(records.Records(tiny_records, "val"))


def frames_of(found):
    """The key frames that a truth was made from, as records hold them."""
    start = np.diff(found.path, axis=1, prepend=0)
    for i, token in enumerate(found.tokens):
        rows, lines = parts(found.agent_start, i), parts(found.line_start, i)
        ends = found.line_vertex_start[found.line_start[i] : found.line_start[i + 1] + 1]
        tags = ", ".join(found.tag_names[found.tags[found.scene[i]]])
        yield {
            "sample_token": str(token),
            "scene": {
                "name": str(found.scene_names[found.scene[i]]),
                "description": f"A road. tags: {tags}.",
                "location": str(found.location_names[found.location[i]]),
            },
            **{key: getattr(found, key)[i] for key in ("frame_index", "scene_length", "timestamp", "can_bus")},
            **{key: getattr(found, key)[i] for key in ("lidar2ego", "ego2global")},
            "ego": {
                "future_offsets": start[i],
                "future_mask": found.path_mask[i],
                "history_offsets": found.history[i],
                "command": found.command[i],
                "status": found.status[i],
            },
            "agents": {
                "boxes": found.boxes[rows],
                "instances": found.instance_tokens[found.instance[rows]].tolist(),
                "categories": [LIDARSEG_CATEGORIES[one] for one in found.category[rows]],
                "num_lidar_pts": found.lidar_points[rows],
                "num_radar_pts": found.radar_points[rows],
                **{key: getattr(found, key)[rows] for key in GROUPS["futures"]},
            },
            "map": {
                "vertices": found.line_vertices[ends[0] : ends[-1]],
                "lengths": np.diff(ends),
                "labels": found.line_label[lines],
            },
        }


def test_values_are_those_of_the_evaluation(made, config):
    """Bit by bit, of every frame."""
    found, drives = truth.Truth({}, **made[0]), sequences.Drives(config, "val")
    assert len(found.tokens) == len(drives) == 11
    for i in range(len(drives)):
        drive = drives[i]
        assert (drive.sample_token, drive.scene) == (found.tokens[i], found.scene_names[found.scene[i]])
        assert (drive.frame_index, drive.future_valid, drive.timestamp) == (
            found.frame_index[i],
            found.future_valid[i],
            found.timestamp[i],
        )
        assert (drive.command, drive.speed) == (found.command[i], float(found.speed[i]))
        path = np.cumsum(drive.ego.future_offsets[0], axis=0)
        assert (path.dtype, path.tobytes()) == (found.path.dtype, found.path[i].tobytes())
        np.testing.assert_array_equal(found.path_mask[i], drive.ego.future_mask[0] > 0)
        np.testing.assert_array_equal(found.history[i], drive.ego.history_offsets[0])
        np.testing.assert_array_equal(found.ego2global[i] @ found.lidar2ego[i], drive.lidar2global)


def test_values_are_those_of_the_records(made, tiny_records):
    found, reader = truth.Truth({}, **made[0]), records.Records(tiny_records, "val")
    for i in range(len(reader)):
        record, rows, lines = reader.decode(i), parts(found.agent_start, i), parts(found.line_start, i)
        np.testing.assert_array_equal(found.can_bus[i], record["can_bus"])
        np.testing.assert_array_equal(found.status[i], record["ego"]["status"])
        agents = record["agents"]
        assert found.boxes[rows].tobytes() == agents["boxes"].tobytes()
        assert found.instance_tokens[found.instance[rows]].tolist() == agents["instances"]
        assert [LIDARSEG_CATEGORIES[one] for one in found.category[rows]] == agents["categories"]
        np.testing.assert_array_equal(found.lidar_points[rows], agents["num_lidar_pts"])
        np.testing.assert_array_equal(found.radar_points[rows], agents["num_radar_pts"])
        for key in GROUPS["futures"]:
            np.testing.assert_array_equal(getattr(found, key)[rows], agents[key])
        np.testing.assert_array_equal(found.line_label[lines], record["map"]["labels"])
        vertices = found.line_vertex_start[found.line_start[[i, i + 1]]]
        np.testing.assert_array_equal(found.line_vertices[slice(*vertices)], record["map"]["vertices"])
    assert found.location_names.tolist() == [record["scene"]["location"]]


def test_frames_of_a_truth_give_it_again():
    """Paths and headings, which a closed form gave there, come from the poses here."""
    expected = fake_truth(scenes=3, frames=9, agents=8)
    found = truth_arrays.of_frames(list(frames_of(expected)))
    for group in GROUPS:
        for key in GROUPS[group] if group not in NOT_IN_RECORDS else ():
            assert found[key].dtype == getattr(expected, key).dtype, key
            compare = np.testing.assert_allclose if found[key].dtype.kind == "f" else np.testing.assert_array_equal
            compare(found[key], getattr(expected, key), **(dict(atol=2e-5) if found[key].dtype.kind == "f" else {}))
    for key in ("tokens", "scene", "scene_names"):
        np.testing.assert_array_equal(found[key], getattr(expected, key))
    truth.check(found)


def test_headings_go_on_beyond_half_a_turn():
    frames = list(frames_of(fake_truth(scenes=1, frames=9)))
    for i, frame in enumerate(frames):
        frame["ego2global"] = np.eye(4)
        frame["ego2global"][:2, :2] = [[np.cos(i), -np.sin(i)], [np.sin(i), np.cos(i)]]
    found = truth_arrays.of_frames(frames)
    np.testing.assert_allclose(found["ego_path_yaw"][0], np.arange(1, 7), atol=1e-6)
    np.testing.assert_allclose(found["path_yaw"][0], np.pi / 2 + np.arange(1, 7), atol=1e-6)


def test_scenes_may_take_turns():
    frames = list(frames_of(fake_truth(scenes=2, frames=4)))
    mixed = truth_arrays.of_frames([frames[i] for i in (0, 4, 1, 5, 2, 6, 3, 7)])
    expected = truth_arrays.of_frames(frames)
    for key in ("tokens", "scene", "path", "ego_path"):
        np.testing.assert_array_equal(mixed[key], expected[key])


@pytest.mark.parametrize("absent", [3, 8])
def test_a_scene_that_is_not_whole_is_refused(absent):
    frames = list(frames_of(fake_truth(scenes=1, frames=9)))
    del frames[absent]
    with pytest.raises(ValueError, match="scene-0000 lacks one of its key frames"):
        truth_arrays.of_frames(frames)


def test_the_header_says_which_records(made, tiny_records):
    header = made[1]
    assert header["split"] == "val" and header["source"] == {
        "kind": "records",
        "files": ["nuscenes-val.tfrecord-00000-of-00001"],
    }
    assert header["data_hash"] == records.Records(tiny_records, "val").data_hash
    assert header["data_hash"] != records.Records(tiny_records, "train").data_hash


def test_damage_is_one_line(tiny_records, monkeypatch):
    reader = records.Records(tiny_records, "val")
    monkeypatch.setattr(truth_arrays, "of_frames", lambda frames: (_ for _ in ()).throw(ValueError("scene-x lacks")))
    with pytest.raises(UserError, match="scene-x lacks; delete the file and run"):
        truth_arrays.arrays(reader)
    monkeypatch.setattr(reader, "read", lambda i: b"nothing")
    with pytest.raises(UserError, match="is no record of this version"):
        truth_arrays.arrays(reader)


def test_neither_jax_nor_tensorflow_is_loaded(tiny_records):
    code = (
        "import sys; from dima_jax.data import records, truth_arrays;"
        f"truth_arrays.arrays(records.Records({str(tiny_records)!r}, 'val'));"
        "print({'jax', 'tensorflow'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout.strip() == "set()"
