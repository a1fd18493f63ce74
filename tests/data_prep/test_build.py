"""The build: same bytes for any number of workers, resumes, opens with tensorflow-datasets, and bad input in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep import build, jpeg, qa, shards, validate
from data_prep.key_frames import KeyFrames
from data_prep.scenes import Root
from dima_jax.data import records
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_root.make(tmp_path_factory.mktemp("dataset") / "root")


@pytest.fixture(scope="module")
def built(dataset, tmp_path_factory):
    return tiny_root.write_records(dataset, tmp_path_factory.mktemp("built"))


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "root")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def frames(root: Path, scene: int = 0):
    opened = Root(str(root), tiny_root.VERSION)
    return KeyFrames(opened, opened.tables.scene[scene])


def test_same_bytes_for_any_workers_and_resume(copy, tmp_path, monkeypatch):
    shards.opened.cache_clear()
    arguments = (str(copy), tiny_root.VERSION, str(tiny_root.drivelm(tmp_path / "drivelm.json")))
    build.build(*arguments, str(tmp_path / "one"), workers=1)
    build.build(*arguments, str(tmp_path / "two"), workers=2)
    first = contents(tmp_path / "one")
    assert first == contents(tmp_path / "two")

    shard = tmp_path / "two" / records.shard_name("val", 0, 1)
    shard.write_bytes(shard.read_bytes()[:-10])
    (tmp_path / "two" / f"{records.shard_name('val', 0, 1)}.1.tmp").write_bytes(b"left by a killed build")
    written = []
    write = shards.write
    monkeypatch.setattr(shards, "write", lambda shard, *rest: (written.append(shard.path), write(shard, *rest)))
    build.build(*arguments, str(tmp_path / "two"), workers=1)
    assert written == [str(shard)], "only the damaged shard is written again"
    assert first == contents(tmp_path / "two")


def test_failed_build_says_where_and_goes_on(copy, tmp_path):
    shards.opened.cache_clear()
    row = next(
        row
        for row in tiny_root.tables(copy, "sample_data")
        if row["sample_token"] == "smp_0280" and row["is_key_frame"] and "CAM_BACK_LEFT" in row["filename"]
    )
    path = copy / row["filename"]
    image = path.read_bytes()
    path.unlink()
    arguments = (str(copy), tiny_root.VERSION, "", str(tmp_path / "out"))
    with pytest.raises(UserError) as raised:
        build.build(*arguments, workers=2)
    remedy = "unpack the nuScenes file blobs again"
    assert str(raised.value) == f"{path}: missing image (scene-0103, sample smp_0280); {remedy}"
    path.write_bytes(image)
    build.build(*arguments, workers=1)
    assert validate.validate(str(tmp_path / "out")) == []


def test_command_prints_one_line_and_exits_2(dataset, tmp_path):
    command = [sys.executable, "-m", "data_prep.build", f"--dataroot={dataset}", "--version=v1.0-trainval"]
    failed = subprocess.run([*command, f"--out={tmp_path / 'out'}"], capture_output=True, text=True)
    assert failed.returncode == 2
    expected = f"error: {dataset}/v1.0-trainval: no such folder; --version should be one of ['v1.0-mini']\n"
    assert failed.stderr == expected


def test_record_of_a_key_frame(dataset):
    record = frames(dataset).record(2, {"smp_0010": {"kinds": ("planning",), "questions": ("Q?",), "answers": ("A.",)}})
    assert record["qa"]["questions"] == ("Q?",)
    assert record["cameras"]["images"][0] == (dataset / record["cameras"]["paths"][0]).read_bytes()
    assert {0, 1, 2} == set(record["map"]["labels"])
    assert record["scene_length"] == 11 and record["frame_index"] == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: shutil.rmtree(r), r"root: no such folder; --dataroot is the folder"),
        (lambda r: (r / "v1.0-mini").rename(r / "v1.0-x"), r"v1\.0-mini: no such folder; --version should be one of \['v1\.0-x'\]"),
        (lambda r: (r / "v1.0-mini" / "ego_pose.json").unlink(), r"ego_pose\.json: missing table; unpack"),
        (lambda r: (r / "v1.0-mini" / "map.json").write_text("["), r"map\.json: not valid JSON"),
        (lambda r: (r / "maps" / "dummy.png").unlink(), r"dummy\.png: missing map image"),
        (lambda r: shutil.rmtree(r / "can_bus"), r"can_bus: no such folder; unpack the nuScenes CAN bus expansion"),
        (
            lambda r: (r / "maps" / "expansion" / "singapore-onenorth.json").unlink(),
            r"singapore-onenorth\.json: missing; unpack the nuScenes map expansion",
        ),
    ],
)  # fmt: skip
def test_missing_parts_name_file_and_remedy(copy, damage, message):
    damage(copy)
    with pytest.raises(UserError, match=message):
        frames(copy).record(0, {})


def edit(root: Path, table: str, change):
    rows = tiny_root.tables(root, table)
    change(rows)
    tiny_root.write_table(root, table, rows)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (
            "sample_annotation",
            lambda rows: rows[0].update(translation=[float("nan"), 1.0, 1.0]),
            r"scene-0061, sample smp_00\d\d: sample_annotation ann_0194 has an impossible box .*; correct or remove",
        ),
        (
            "sample_annotation",
            lambda rows: rows[0].update(size=[0.0, 1.0, 1.0]),
            r"sample_annotation ann_0194 has an impossible box",
        ),
        (
            "sample_data",
            lambda rows: [row.update(width=1600) for row in rows],
            r"image is not 45 x 1600 as the tables say \(scene-0061, sample smp_0008\)",
        ),
        (
            "sample_data",
            lambda rows: [row.update(is_key_frame=False) for row in rows if "CAM_BACK/" in row["filename"]],
            r"scene-0061, sample smp_0008: sample_data\.json has no key frame of CAM_BACK;",
        ),
    ],
)
def test_bad_rows_name_scene_and_sample(copy, table, change, message):
    edit(copy, table, change)
    with pytest.raises(UserError, match=message):
        reader = frames(copy)
        for i in range(len(reader)):
            reader.record(i, {})


def test_broken_images_are_found(dataset, tmp_path):
    image = frames(dataset).record(0, {})["cameras"]["images"][0]
    assert jpeg.shape(image) == tiny_root.IMAGE_SHAPE
    assert jpeg.defect(image, tiny_root.IMAGE_SHAPE) == ""
    assert "truncated" in jpeg.defect(image[: len(image) // 2], tiny_root.IMAGE_SHAPE)
    assert "not a JPEG" in jpeg.defect(b"GIF89a", tiny_root.IMAGE_SHAPE)
    assert "does not decode" in jpeg.defect(b"\xff\xd8\xff\xd9", tiny_root.IMAGE_SHAPE)
    with pytest.raises(UserError, match=r"nowhere\.jpg: missing image \(here\)"):
        jpeg.read(tmp_path / "nowhere.jpg", tiny_root.IMAGE_SHAPE, "here")


def test_splits_of_a_set_of_ones_own(copy):
    path = copy / tiny_root.VERSION / "splits.json"
    path.write_text(json.dumps({"own_val": ["scene-0061"], "own_train": ["scene-0103"]}))
    names = {split: [s["name"] for s in rows] for split, rows in Root(str(copy), tiny_root.VERSION).splits().items()}
    assert names == {"val": ["scene-0061"], "train": ["scene-0103"]}
    path.write_text(json.dumps({"own_val": ["scene-9999"]}))
    with pytest.raises(UserError, match=r"splits\.json: scene scene-9999 is not in scene\.json"):
        Root(str(copy), tiny_root.VERSION).splits()


def test_shards_are_whole_scenes(monkeypatch):
    monkeypatch.setattr(shards, "FRAMES_PER_SHARD", 50)
    scenes = [{"token": str(i), "nbr_samples": 40} for i in range(5)]
    planned = shards.plan({"train": scenes}, Path("out"))["train"]
    assert [shard.scenes for shard in planned] == [("0", "1"), ("2", "3"), ("4",)]
    assert [shard.frames for shard in planned] == [80, 80, 40]


@pytest.mark.parametrize(
    ("tag", "problem"),
    [("<c1,CAM_TOP,1.0,2.0>", "names no camera"), ("<c1,CAM_BACK,here,2.0>", "names no pixel"), ("<c1>", "names no camera")],
)  # fmt: skip
def test_tag_that_names_nothing(tmp_path, tag, problem):
    path = tiny_root.drivelm(tmp_path / "drivelm.json", tag=tag)
    with pytest.raises(UserError, match=rf"drivelm\.json: scene scn0, sample smp_0010: {tag} {problem} \(perception"):
        qa.read(str(path))


def test_questions_in_file_order_and_other_files_refused(tmp_path):
    pairs = qa.read(str(tiny_root.drivelm(tmp_path / "drivelm.json")))["smp_0010"]
    assert pairs["kinds"] == ("perception", "planning") and pairs["answers"][0] == "Moving."
    (tmp_path / "other.json").write_text('[{"question": 1}]')
    with pytest.raises(UserError, match=r"other\.json: not in DriveLM's v1\.1 format"):
        qa.read(str(tmp_path / "other.json"))
    with pytest.raises(UserError, match="no such file"):
        qa.read(str(tmp_path / "none.json"))


def test_validate_finds_nothing_in_a_good_set(built, capsys):
    assert validate.validate(str(built)) == []
    assert "train: 11 key frames of 1 scenes, 0 problems" in capsys.readouterr().out


def test_validate_names_what_is_wrong(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "records")
    path = folder / records.shard_name("train", 0, 1)
    data = bytearray(path.read_bytes())
    data[records.walk(path)[3].offset + 500] ^= 1
    path.write_bytes(data)
    (problem,) = validate.validate(str(folder))
    assert "corrupt record of scene-0061, sample smp_0011" in problem


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda f: f["ego2global"].__setitem__((0, 0), 2.0), "ego2global is no rigid motion"),
        (lambda f: f["agents"]["boxes"].__setitem__((0, 0), np.nan), "has an impossible box"),
        (lambda f: f["agents"]["boxes"].__setitem__((0, 7), 99), "moves at 99 m/s"),
        (lambda f: f["agents"]["future_offsets"].__setitem__(~f["agents"]["future_mask"], 1), "goes on after it ended"),
        (lambda f: f["map"]["vertices"].__setitem__((0, 0), 90.0), "a map line leaves its patch"),
        (lambda f: f["cameras"]["images"].__setitem__(2, b"\xff\xd8"), "not a JPEG file"),
        (lambda f: f["cameras"]["intrinsics"].__setitem__((1, 0, 2), 800.0), "intrinsics do not fit"),
        (lambda f: f["qa"].update(questions=["<c1,CAM_UP,1,2>?"], answers=["No."]), "CAM_UP,1,2> names no camera"),
    ],
)
def test_validate_checks_each_frame(dataset, spoil, problem):
    record = frames(dataset).record(8, {})
    assert list(validate._frame_problems(record)) == []
    spoil(record)
    assert problem in "\n".join(validate._frame_problems(record))
