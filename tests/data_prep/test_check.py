"""The command of the check."""

import shutil
import subprocess
import sys

from tests import tiny_root


def run(root, *more):
    command = [sys.executable, "-m", "data_prep.check", f"--dataroot={root}", f"--version={tiny_root.VERSION}", *more]
    return subprocess.run(command, capture_output=True, text=True)


def test_command(copy):
    path = copy / "can_bus" / "scene-0061_pose.json"
    path.unlink()
    done = run(copy)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"skip: {copy}/can_bus: scenes without CAN bus (1); unpack")
    assert done.stdout.endswith(f"{copy} {tiny_root.VERSION}: 0 errors, 1 skips, 8 notes\n")
    done = run(copy, "--strict")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {path}: missing; the records of scene-0061 have what its poses give")
    shutil.rmtree(copy / "can_bus")
    done = run(copy)
    assert done.returncode == 0 and f"    {copy}/can_bus: no such folder; rotation rates and speeds" in done.stdout
