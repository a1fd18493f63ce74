"""The build: same bytes for any number of workers, resumes, and goes on after bad input."""

import json
from pathlib import Path

import pytest

from data_prep import builder, shards, validation
from dima_jax.data import records
from dima_jax.errors import UserError
from tests import tiny_root
from tests.lock_holder import held_elsewhere


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_bytes_for_any_workers_and_resume(copy, tmp_path, monkeypatch):
    arguments = (str(copy), tiny_root.VERSION, str(tiny_root.drivelm(tmp_path / "drivelm.json")))
    builder.build(*arguments, str(tmp_path / "one"), workers=1)
    builder.build(*arguments, str(tmp_path / "two"), workers=2)
    first = contents(tmp_path / "one")
    assert first == contents(tmp_path / "two")

    shard = tmp_path / "two" / records.shard_name("val", 0, 1)
    shard.write_bytes(shard.read_bytes()[:-10])
    (tmp_path / "two" / f"{records.shard_name('val', 0, 1)}.1.tmp").write_bytes(b"left by a killed build")
    written = []
    write = shards.write
    monkeypatch.setattr(shards, "write", lambda shard, *rest: (written.append(shard.path), write(shard, *rest)))
    builder.build(*arguments, str(tmp_path / "two"), workers=1)
    assert written == [str(shard)], "only the damaged shard is written again"
    assert first == contents(tmp_path / "two")


def test_failed_build_says_where_and_goes_on(copy, tmp_path):
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
        builder.build(*arguments, workers=2)
    where = f"{row['token']} (scene scene-0103, sample smp_0280)"
    assert f"{where}: missing image {path}; unpack the nuScenes file blobs again" in str(raised.value)
    path.write_bytes(image[:-10])
    with pytest.raises(UserError, match=r"truncated JPEG .*\(scene-0103, sample smp_0280\); copy the image again"):
        builder.build(*arguments, workers=2)
    path.write_bytes(image)
    builder.build(*arguments, workers=1)
    assert validation.validate(str(tmp_path / "out")).report.findings == []


def test_two_builds_do_not_share_a_folder(copy, tmp_path):
    left = tmp_path / "out" / f"{records.shard_name('val', 0, 1)}.1.tmp"
    left.parent.mkdir()
    left.write_bytes(b"being written")
    with held_elsewhere(tmp_path / "out" / "build.lock"), pytest.raises(UserError, match="out is in use by process"):
        builder.build(str(copy), tiny_root.VERSION, "", str(tmp_path / "out"), workers=1)
    assert left.exists()


def test_records_of_something_else_are_not_deleted(copy, tmp_path):
    out = tmp_path / "out"
    builder.build(str(copy), tiny_root.VERSION, "", str(out), workers=1)
    before = contents(out)
    (copy / "v1.0-other").mkdir()
    for path in (copy / tiny_root.VERSION).iterdir():
        (copy / "v1.0-other" / path.name).write_bytes(path.read_bytes())
    (copy / "v1.0-other" / "splits.json").write_text(json.dumps({"train": ["scene-0061"], "val": ["scene-0103"]}))
    with pytest.raises(
        UserError, match=r"out: holds records of 'v1\.0-mini', this build is of 'v1\.0-other'; give another"
    ):
        builder.build(str(copy), "v1.0-other", "", str(out), workers=1)
    (copy / tiny_root.VERSION / "splits.json").write_text(json.dumps({"train": ["scene-0061"]}))
    with pytest.raises(UserError, match=r"holds records of scene-0103, which this build does not make; give another"):
        builder.build(str(copy), tiny_root.VERSION, "", str(out), workers=1)
    assert contents(out) == before


def test_what_the_check_skips_is_stored_or_refused(copy, tmp_path):
    path = copy / "can_bus" / "scene-0061_steeranglefeedback.json"
    path.unlink()
    arguments = (str(copy), tiny_root.VERSION, "", str(tmp_path / "out"))
    with pytest.raises(UserError, match=rf"{path.name}: missing; the records of scene-0061 have what its poses give"):
        builder.build(*arguments, workers=1, is_strict=True)
    assert contents(tmp_path / "out") == {}
    builder.build(*arguments, workers=1)
    (skip,) = [
        one for one in json.loads((tmp_path / "out" / builder.REPORT).read_text())["findings"] if one["kind"] == "skip"
    ]
    assert (skip["rule"], skip["count"]) == ("scenes without CAN bus", 1)
