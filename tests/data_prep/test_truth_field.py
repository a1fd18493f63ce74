"""Published files become truths: stand-ins of each layout, damaged and hostile ones, and 600 real frames."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from data_prep import truth_field
from dima_jax.constants import COMMANDS
from dima_jax.data import records
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from tests import realdata
from tests.damage import same_arrays, survey

TOKENS = [f"{i:032x}" for i in (5, 3, 9, 7)]
KNOWN = np.array([6, 6, 2, 0])  # steps of each frame


def layouts():
    """(paths, masks) by token, in all the shapes that are published."""
    rng = np.random.default_rng(0)
    paths, masks = {}, {}
    for i, (token, known) in enumerate(zip(TOKENS, KNOWN, strict=True)):
        path = np.cumsum(rng.normal([0, 3, 0], 0.3, (6, 3)), axis=0)
        mask = np.repeat(np.arange(6)[:, None] < known, 2, axis=1)
        path[known:] = 0.0
        paths[token] = [path[None], path[:, :2], path[None, :, :2].tolist(), path[None, None]][i]
        masks[token] = [mask[None].astype(float), mask, mask[None].astype(int).tolist(), mask[None, None]][i]
    return paths, masks


def write(folder: Path, name: str, content) -> str:
    path = folder / name
    path.write_bytes(pickle.dumps(content) if name.endswith(".pkl") else json.dumps(content).encode())
    return str(path)


@pytest.fixture
def files(tmp_path):
    paths, masks = layouts()
    return [write(tmp_path, "gt_traj.pkl", paths), write(tmp_path, "gt_traj_mask.pkl", masks)]


def make(files, scenes=None, records=None):
    arrays, header = truth_field.make(files, "val", scenes, records)
    truth.check(arrays)
    return arrays, header


def refused(files, why, scenes=None):
    with pytest.raises(UserError, match=why) as raised:
        make(files, scenes)
    assert len(str(raised.value).splitlines()) == 1


def expected(token):
    path, mask = (np.reshape(one[token], (6, -1)) for one in layouts())
    known = mask.all(axis=1)
    result = path[:, :2].astype(np.float32)
    result[~known] = result[known.sum() - 1] if known.any() else 0
    return result, known


def test_paths_and_masks(files, tmp_path):
    arrays, header = make(files)
    assert arrays["tokens"].tolist() == TOKENS == arrays["scene_names"].tolist()
    for i, token in enumerate(TOKENS):
        path, known = expected(token)
        np.testing.assert_array_equal(arrays["path"][i], path)
        np.testing.assert_array_equal(arrays["path_mask"][i], known)
    assert arrays["future_valid"].tolist() == [True, True, False, False]
    assert header["source"] == {"kind": "gt_traj", "files": ["gt_traj.pkl", "gt_traj_mask.pkl"]}
    assert header["scenes"] == "unknown"
    truth.save(tmp_path / "a.npz", arrays, header)
    found = truth.load(tmp_path / "a.npz")
    assert same_arrays(found.arrays(), arrays) and found.header["has"] == ["masks", "paths"]


def test_scenes_come_from_a_file(files, tmp_path):
    scenes = write(tmp_path, "scenes.json", dict(zip(TOKENS, ["b", "a", "b", "a"], strict=True)) | {"other": "c"})
    arrays, header = make(files, scenes)
    assert arrays["scene_names"].tolist() == ["a", "b"] and arrays["scene"].tolist() == [0, 0, 1, 1]
    assert arrays["tokens"].tolist() == [TOKENS[i] for i in (1, 3, 0, 2)] and "scenes" not in header
    np.testing.assert_array_equal(arrays["path"][2], expected(TOKENS[0])[0])
    assert header["data_hash"] != make(files)[1]["data_hash"]


def test_scenes_and_times_come_from_records(built, tmp_path):
    reader = records.Records(built, "val")
    tokens = reader.samples[::-2]
    paths = {token: np.full((6, 2), i + 0.5) for i, token in enumerate(tokens)}
    files = [write(tmp_path, "p.pkl", paths), write(tmp_path, "m.pkl", dict.fromkeys(tokens, np.ones((6, 2))))]
    arrays, header = make(files, records=str(built))
    assert arrays["tokens"].tolist() == tokens[::-1] and arrays["frame_index"].tolist() == [0, 2, 4, 6, 8, 10]
    assert set(arrays["scene_length"]) == {11} and arrays["scene_names"].tolist() == [reader.scenes[0]]
    assert "scenes" not in header


def spoiled(content, token, value):
    return content | {token: value}


@pytest.mark.parametrize(
    ("path", "mask", "why"),
    [
        (np.zeros((5, 2)), None, r"gt_traj\.pkl: sample 0+3: has the shape \(5, 2\), not \[6, 2\] or \[6, 3\]"),
        (np.zeros((2, 6, 2)), None, r"has the shape \(2, 6, 2\)"),
        (np.zeros((6, 4)), None, r"has the shape \(6, 4\)"),
        (np.full((6, 2), np.nan), None, "the path is not finite"),
        (np.full((6, 2), np.inf), None, "the path is not finite"),
        (np.full((6, 2), 1001.0), None, "goes beyond 1,000 m"),
        ("text", None, r"is not an array of numbers \(str\)"),
        (None, np.full((6, 2), 0.5), r"gt_traj_mask\.pkl: sample 0+3: the mask has other numbers"),
        (None, np.full((6, 2), np.nan), "the mask has other numbers"),
        (None, np.ones(6), r"has the shape \(6,\)"),
    ],
)
def test_impossible_frames_are_refused_by_token(tmp_path, path, mask, why):
    paths, masks = layouts()
    paths[TOKENS[1]] = paths[TOKENS[1]] if path is None else path
    masks[TOKENS[1]] = masks[TOKENS[1]] if mask is None else mask
    refused([write(tmp_path, "gt_traj.pkl", paths), write(tmp_path, "gt_traj_mask.pkl", masks)], why)


def test_files_that_do_not_fit_are_refused(files, tmp_path):
    masks = layouts()[1]
    refused(files[:1], r"gt_traj\.pkl: has no masks; give them as well")
    refused(files[::-1], "has other numbers than 0 and 1|give the paths first, then their masks")
    refused([*files, files[0]], "is the second file of masks")
    masks.pop(TOKENS[2])
    refused([files[0], write(tmp_path, "m.pkl", masks)], rf"m\.pkl: {TOKENS[2]} \(1 in all\) not in both files")
    refused([write(tmp_path, "a.json", {})], "is no file of paths, masks, waypoints")
    refused([write(tmp_path, "a.json", {"a": "b"})], "is no file of paths, masks, waypoints")
    refused([write(tmp_path, "vad.pkl", {"plan_results": {}})], r"0 of them hold recorded paths")
    refused([*files, write(tmp_path, "i.json", {"a": ["b"]})], "instances are of no use beside paths")
    refused([*files, write(tmp_path, "w.json", waypoints())], "2 of them hold recorded paths")
    refused([write(tmp_path, "p.json", {"a\nb": [[0, 0]]})], "is no file of paths")
    scenes = write(tmp_path, "s.json", dict.fromkeys(TOKENS[1:], "a"))
    refused(files, rf"the scene is not known of {TOKENS[0]} \(1 in all\)", scenes)
    refused(files, "is not {sample token: name of its scene}", write(tmp_path, "s.json", {"a": 1}))


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


def test_nothing_in_a_pickle_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths, masks = layouts()
    mask = write(tmp_path, "m.pkl", masks)
    refused([write(tmp_path, "p.pkl", paths | {TOKENS[0]: Hostile()}), mask], "is no file|not an array of numbers")
    refused([write(tmp_path, "p.pkl", paths | {TOKENS[1]: Hostile()}), mask], rf"{TOKENS[1]}: .* not an array of n")
    refused([write(tmp_path, "p.pkl", Hostile())], "is no file of paths")
    assert not Path("touched").exists()


def test_damage_is_one_line(files):
    whole, mask = Path(files[0]).read_bytes(), files[1]
    before = make([files[0], mask])[0]

    def read(content: bytes) -> bool:
        Path(files[0]).write_bytes(content)
        make([files[0], mask])
        return True  # a pickle has no checksum: a number that changed is another number

    assert survey(whole, read, 200, seed=1)["refused"] > 50
    Path(files[0]).write_bytes(whole)
    assert same_arrays(make([files[0], mask])[0], before)


def uniad(change=lambda row: None):
    paths, masks = layouts()
    rows = []
    for i, token in enumerate(TOKENS):
        truth = {"sdc_planning": np.reshape(paths[token], (1, 1, 6, -1)), "command": np.array([i % 3])}
        truth["sdc_planning_mask"] = np.reshape(masks[token], (1, 1, 6, 2))
        rows.append({"token": token, "planning": {"planning_gt": truth, "result_planning": {}}})
    change(rows[1])
    return {"bbox_results": rows}


def test_results_of_uniad(tmp_path):
    arrays, header = make([write(tmp_path, "results.pkl", uniad())])
    assert header["source"]["kind"] == "uniad_results" and header["scenes"] == "unknown"
    np.testing.assert_array_equal(arrays["path"], [expected(token)[0] for token in TOKENS])
    assert arrays["command"].tolist() == [0, 1, 2, 0] and arrays["targeted"].tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda row: row.pop("token"), "bbox_results 1 has no token"),
        (lambda row: row.update(token=TOKENS[0]), f"sample {TOKENS[0]}: is there twice"),
        (lambda row: row.pop("planning"), f"sample {TOKENS[1]}: planning_gt of its planning is not there"),
        (lambda row: row["planning"]["planning_gt"].update(command=np.array([3])), r"command is \[3.0\], not 0 to 2"),
        (lambda row: row["planning"]["planning_gt"].update(sdc_planning=Hostile()), "is not an array of numbers"),
    ],
)
def test_results_of_uniad_that_are_not_whole(tmp_path, monkeypatch, change, why):
    monkeypatch.chdir(tmp_path)
    refused([write(tmp_path, "results.pkl", uniad(change))], why)
    assert not Path("touched").exists()


def test_commands_of_vad(files, tmp_path):
    plans = {token: [np.zeros((3, 6, 2)), np.eye(3)[[[[2 - i % 3]]]]] for i, token in enumerate(TOKENS)}
    arrays, header = make([*files, write(tmp_path, "vad.pkl", {"plan_results": plans, "results": {}})])
    assert [COMMANDS[one] for one in arrays["command"]] == ["straight", "left", "right", "straight"]
    assert header["source"]["kind"] == "gt_traj" and len(header["source"]["files"]) == 3
    one_hot = plans | {TOKENS[0]: [0, np.array([1, 1, 0])]}
    refused(
        [*files, write(tmp_path, "vad.pkl", {"plan_results": one_hot})], r"command is \[1.0, 1.0, 0.0\], not one-hot"
    )
    refused([*files, write(tmp_path, "vad.pkl", {"plan_results": plans | {TOKENS[0]: 3}})], "no pair of plans")
    del plans[TOKENS[3]]
    refused([*files, write(tmp_path, "vad.pkl", {"plan_results": plans})], rf"vad\.pkl: {TOKENS[3]} \(1 in all\) not")


def waypoints(change=lambda row: None):
    rows = [
        {
            "sample_token": token,
            "scene": f"scene-{i % 2}",
            "waypoints": [[k + i, 0.5] for k in range(6)],
            "command": name,
        }
        for i, (token, name) in enumerate(zip(TOKENS, ["straight", "left", "right", "left"], strict=True))
    ]
    change(rows[1])
    return rows


def test_waypoints(tmp_path):
    arrays, header = make([write(tmp_path, "a.json", waypoints())])
    assert "scenes" not in header and header["source"]["kind"] == "waypoints"
    assert arrays["scene"].tolist() == [0, 0, 1, 1] and arrays["tokens"].tolist() == [TOKENS[i] for i in (0, 2, 1, 3)]
    assert arrays["ego_path"][1].tolist() == [[k + 2, 0.5] for k in range(6)] and arrays["future_valid"].all()
    assert arrays["command"].tolist() == [2, 0, 1, 1] and "path" not in arrays


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda row: row.pop("scene"), "entry 1 has no sample_token or no scene"),
        (lambda row: row.update(sample_token=TOKENS[0]), "is there twice"),
        (lambda row: row.update(scene="\ud800"), "entry 1 has no sample_token or no scene"),
        (lambda row: row.update(command="back"), "command is 'back', not of right, left, straight"),
        (lambda row: row.update(command=[]), r"command is \[\], not of"),
        (lambda row: row["waypoints"].pop(), r"has the shape \(5, 2\)"),
        (lambda row: row.update(waypoints=None), r"is not an array of numbers \(NoneType\)"),
    ],
)
def test_waypoints_that_are_not_whole(tmp_path, change, why):
    refused([write(tmp_path, "a.json", waypoints(change))], why)


def test_600_real_frames():
    file = realdata.folder() / "planning" / "worldvla_got_nuscenes_val_600_gt.json"
    arrays, _ = make([str(file)])
    rows = {row["sample_token"]: row for row in json.loads(file.read_text())}
    assert len(arrays["tokens"]) == len(rows) == 600 and len(arrays["scene_names"]) == 150
    assert truth.Truth({}, **arrays).has("ego_paths", "commands") and arrays["path_mask"].all()
    for token, path, command, scene in zip(
        *(arrays[key] for key in ("tokens", "ego_path", "command", "scene")), strict=True
    ):
        row = rows[str(token)]
        np.testing.assert_array_equal(path, np.float32(row["waypoints"]))
        assert (COMMANDS[command], arrays["scene_names"][scene]) == (row["command"], row["scene"])
