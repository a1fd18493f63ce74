"""A data set as a whole: resuming, settings, plan, splits."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.utils.splits import create_splits_scenes, get_scenes_of_split

from data_prep.miniworld import writer
from data_prep.miniworld.traffic import maneuvers
from dima_jax.errors import UserError
from tests.data_prep.miniworld.small_world import settings
from tests.lock_holder import held_elsewhere


def tree_hash(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def test_stopped_run_goes_on_and_gives_the_same_bytes(root, tmp_path, monkeypatch):
    simulate, calls = maneuvers.simulate, []

    def stops_at_second(*arguments):
        calls.append(arguments[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return simulate(*arguments)

    monkeypatch.setattr(maneuvers, "simulate", stops_at_second)
    with pytest.raises(KeyboardInterrupt):
        writer.write(tmp_path / "data", settings(), workers=1)
    assert not (tmp_path / "data" / writer.VERSION).exists()
    assert writer.write(tmp_path / "data", settings(), workers=1) == 35
    assert calls == ["train", "val", "val"]  # the finished scene was kept
    assert tree_hash(tmp_path / "data") == tree_hash(root)
    assert writer.write(tmp_path / "data", settings(), workers=1) == 0


def test_folder_of_other_content_is_refused(root, tmp_path):
    with pytest.raises(UserError, match="other flags"):
        writer.write(root, settings()._replace(seed=1))
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty and not a mini world"):
        writer.write(tmp_path, settings())


def test_two_writers_do_not_share_a_folder(tmp_path):
    with held_elsewhere(tmp_path / "out.lock"), pytest.raises(UserError, match="out is in use by process"):
        writer.write(tmp_path / "out", settings(), 1)
    assert not (tmp_path / "out").exists()


def test_plan_skips_numbers_without_can_data():
    jobs = writer.plan(writer.settings(300, 60, 0, (400, 224)))
    names = [job.name for job in jobs]
    assert len(set(names)) == 360 and names == sorted(names)
    assert not {int(name[-4:]) for name in names} & writer.NO_CAN
    assert [(job.split, job.index) for job in jobs[298:302]] == [("train", 298), ("train", 299), ("val", 0), ("val", 1)]


def test_no_can_numbers_are_the_devkits(root):
    assert set(NuScenesCanBus(str(root)).can_blacklist) == writer.NO_CAN


def test_splits_and_tags(tables):
    train, val = (get_scenes_of_split(f"miniworld_{name}", tables) for name in ("train", "val"))
    assert (train, val) == (["scene-0001"], ["scene-0002"])
    assert not {"miniworld_train", "miniworld_val"} & set(create_splits_scenes())
    text = {scene["name"]: scene["description"] for scene in tables.scene}
    assert text["scene-0001"].endswith(" tags: turn_left.") and "three_point_turn" in text["scene-0002"]


def in_session(number):
    """The running processes of a session."""
    fields = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    return [row for row in fields if int(row[3]) == number and row[0] != "Z"]


def test_ctrl_c_ends_all_processes_in_one_line(tmp_path):
    """The signal goes to the whole group, as from a terminal, while two processes write scenes."""
    out = tmp_path / "data"
    command = [sys.executable, "-m", "data_prep.miniworld", f"--out={out}", "--scenes=2", "--val_scenes=0"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    process = subprocess.Popen([*command, "--size=128x72", "--workers=2"], **pipes)
    while process.poll() is None and not [*out.glob("samples/*/*")]:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert (errors, process.returncode) == ("stopped by Ctrl-C\n", 130)
    ends = time.monotonic() + 20  # the last of them may still be ending
    while in_session(process.pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert in_session(process.pid) == []
    assert not (out / writer.VERSION).exists()
