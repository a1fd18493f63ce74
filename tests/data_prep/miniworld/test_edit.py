"""The command: edits of the recorded scenes, and no others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

from data_prep.miniworld import edit, writer
from dima_jax.errors import UserError
from tests.data_prep.miniworld import small_world


def test_edits_of_a_written_world(root, tables):
    wanted, jobs = edit.chosen(root, "train", None)
    assert wanted == small_world.settings() and [job.name for job in jobs] == ["scene-0001"]
    (found,) = edit.edited(root, wanted, jobs, every=2, workers=1)
    assert found
    for token, site, crc in found:
        sample = tables.get("sample", token)
        path = tables.get_sample_data_path(sample["data"]["CAM_FRONT"])
        assert crc32(Path(path).read_bytes()) == crc
        assert len(site.boxes) == len(site.images) == 2


def test_a_world_that_would_be_painted_otherwise(root, tmp_path):
    copy = tmp_path / "world"
    shutil.copytree(root / "samples" / "CAM_FRONT", copy / "samples" / "CAM_FRONT")
    (copy / "samples" / "CAM_FRONT" / "x-scene-0001__CAM_FRONT__copy.jpg").write_bytes(b"of another program")
    first = min((copy / "samples" / "CAM_FRONT").glob("*scene-0001*"))
    first.write_bytes(first.read_bytes()[:-2] + b"xx")
    wanted, jobs = edit.chosen(root, "train", 1)
    with pytest.raises(
        UserError, match="scene-0001 are not those that this version paints; write the mini world again"
    ):
        edit.edit_scene((str(copy), wanted, jobs[0], 12))


@pytest.mark.parametrize("content", [None, "{", json.dumps({"scenes": 1}), json.dumps([1])])
def test_no_mini_world(tmp_path, content):
    folder = tmp_path / writer.VERSION
    folder.mkdir()
    if content is not None:
        (folder / "miniworld.json").write_text(content)
    with pytest.raises(UserError, match=r"miniworld.json: no settings of a mini world \("):
        edit.chosen(tmp_path, "val", None)


def test_another_vehicle(tmp_path):
    (tmp_path / writer.VERSION).mkdir()
    (tmp_path / writer.VERSION / "miniworld.json").write_text(
        json.dumps(writer.settings(1, 1, 0, (64, 36), rig_name="four")._asdict())
    )
    with pytest.raises(UserError, match="is of --rig=four; cars are painted into the images of --rig=six alone"):
        edit.chosen(tmp_path, "val", None)


@pytest.mark.parametrize("missing", ["dataroot", "out"])
def test_a_flag_that_is_needed(tmp_path, missing):
    given = [f"--{name}={tmp_path / name}" for name in {"dataroot", "out"} - {missing}]
    command = [sys.executable, "-m", "data_prep.miniworld.edit", *given]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and f"--{missing}" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
