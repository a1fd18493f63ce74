"""The checks of records: nothing in good ones, and what is planted is found and named with its place."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep import validation
from data_prep.record_check import rules
from dima_jax.constants import CAMERAS, FORWARD_SPEED
from dima_jax.data import records
from dima_jax.errors import UserError
from tests import realdata, tiny_root

OUTSIDE = "<c5,CAM_FRONT_RIGHT,2343.0,298.0>"


def permute(frame):
    pose = frame["cameras"]["sensor2lidar"][CAMERAS.index("CAM_BACK")]
    pose[:3, :3] = pose[:3, :3][:, [2, 0, 1]]


def other_units(frame):
    frame["can_bus"][FORWARD_SPEED] *= 3.6


def truncate(frame):
    if frame["frame_index"] == 4:
        images = frame["cameras"]["images"] = list(frame["cameras"]["images"])
        images[2] = images[2][: len(images[2]) * 3 // 4] + b"\xff\xd9"


def tag_outside(frame):
    if frame["frame_index"] == 4:
        frame["qa"] = {"kinds": ("planning",), "questions": (f"What about {OUTSIDE}?",), "answers": ("No.",)}


PLANTED = {
    permute: ("error", "val: scene-0061, sample smp_0012: CAM_BACK does not stand upright"),
    other_units: ("skip", "val: scene-0061: 11.4 m/s by the CAN bus and 3.2 m/s by the ego poses"),
    truncate: ("error", "val: scene-0061, sample smp_0012: CAM_FRONT_LEFT, samples/CAM_FRONT_LEFT/"),
    tag_outside: ("skip", f"val: scene-0061, sample smp_0012: tag {OUTSIDE} is outside of the image of 1600 x 900"),
}


def planted(dataset, out: Path, *spoils) -> Path:
    """Records of the train scene, every key frame spoiled."""
    drive = tiny_root.key_frames(dataset)
    frames = [drive.record(i, {}) for i in range(len(drive))]
    for spoil in spoils:
        for frame in frames:
            spoil(frame)
    return realdata.write_split(out, "val", frames)


def test_validate_finds_nothing_in_a_good_set(built, capsys):
    checked = validation.validate(str(built), decode_share=1.0)
    assert checked.report.findings == []
    told = capsys.readouterr().out
    assert "train: 11 key frames of 1 scenes, 0 problems; 100% of 39 boxes with LiDAR points are in an image" in told
    assert [split.decoded for split in checked.splits] == [66, 66]


@pytest.mark.parametrize("spoil", PLANTED)
def test_what_is_planted_is_found_and_named(dataset, tmp_path, spoil):
    kind, line = PLANTED[spoil]
    report = validation.validate(str(planted(dataset, tmp_path, spoil)), decode_share=1.0).report
    finding = report.findings[0]
    assert finding.kind == kind and any(one.startswith(line) for one in finding.lines)
    assert finding.count == (11 if spoil is permute else 1)
    rest = [one.rule for one in report.findings[1:]]
    assert rest == ([rules.SEEN.text] if spoil is permute else [])  # what the camera should see is in no image


def test_images_are_decoded_only_as_asked(dataset, tmp_path):
    folder = str(planted(dataset, tmp_path, truncate))
    assert validation.validate(folder).report.findings == []


def test_a_damaged_record_is_named_and_the_others_are_checked(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "records")
    path = folder / records.shard_name("train", 0, 1)
    data = bytearray(path.read_bytes())
    data[records.walk(path)[3].offset + 500] ^= 1
    path.write_bytes(data)
    checked = validation.validate(str(folder))
    (finding,) = checked.report.findings
    assert finding.kind == "error" and "corrupt record of scene-0061, sample smp_0011" in finding.lines[0]
    assert [len(split.scenes) for split in checked.splits] == [1, 1]
    with pytest.raises(UserError, match="corrupt record of scene-0061"):
        checked.report.refuse()


def test_a_split_that_cannot_be_opened_is_named(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "records")
    (folder / f"{records.shard_name('val', 0, 1)}.index.json").unlink()
    checked = validation.validate(str(folder))
    assert "missing sidecar" in checked.report.findings[0].lines[0] and checked.splits[1].reader is None


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data_prep.validate", *map(str, arguments)], capture_output=True, text=True
    )


def test_the_exit_status_tells_errors_from_skips(dataset, tmp_path):
    skipped = planted(dataset, tmp_path / "skip", other_units)
    found = command(f"--data={skipped}")
    assert found.returncode == 0 and f"{skipped}: 0 errors, 1 skips, 0 notes" in found.stdout
    strict = command(f"--data={skipped}", "--strict")
    assert strict.returncode == 2 and "11.4 m/s by the CAN bus" in strict.stderr.splitlines()[-1]
    wrong = planted(dataset, tmp_path / "error", permute, other_units)
    sheet = tmp_path / "sheet"
    found = command(f"--data={wrong}", f"--sheet={sheet}", "--sheet_frames=1")
    assert found.returncode == 2 and found.stderr.splitlines()[-1].startswith("error: val: scene-0061, sample smp_00")
    assert (
        f"(and 12 more: `python -m data_prep.validate --data={wrong} --decode_share=0.03 --seed=0` lists them)"
        in found.stderr
    )
    assert "Traceback" not in found.stderr and "CAM_BACK does not stand upright" in (sheet / "index.html").read_text()
