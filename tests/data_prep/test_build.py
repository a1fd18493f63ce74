"""The command of the build."""

import json
import subprocess
import sys


def test_command_prints_one_line_and_exits_2(dataset, tmp_path):
    command = [sys.executable, "-m", "data_prep.build", f"--dataroot={dataset}", "--version=v1.0-trainval"]
    failed = subprocess.run([*command, f"--out={tmp_path / 'out'}"], capture_output=True, text=True)
    assert failed.returncode == 2
    expected = f"error: {dataset}/v1.0-trainval: no such folder; --version should be one of ['v1.0-mini']\n"
    assert failed.stderr == expected
    assert expected in (tmp_path / "out" / "build.log").read_text()


def test_an_old_map_is_one_line(copy, tmp_path):
    for path in (copy / "maps" / "expansion").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "1.2"}))
    command = [sys.executable, "-m", "data_prep.build", f"--dataroot={copy}", "--version=v1.0-mini"]
    failed = subprocess.run([*command, f"--out={tmp_path / 'out'}"], capture_output=True, text=True)
    assert failed.returncode == 2 and len(failed.stderr.splitlines()) == 1, failed.stderr
    assert "expansion/" in failed.stderr and "is of version '1.2'" in failed.stderr and "v1.3" in failed.stderr


def test_options_without_a_runner_are_one_line(dataset, tmp_path):
    command = [sys.executable, "-m", "data_prep.build", f"--dataroot={dataset}", "--version=v1.0-mini"]
    command += [f"--out={tmp_path / 'out'}", "--", "--direct_num_workers=2"]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert (failed.returncode, len(failed.stderr.splitlines())) == (2, 1), failed.stderr
    assert "unexpected '--direct_num_workers=2'; what follows -- is for a runner" in failed.stderr
    assert not (tmp_path / "out").exists()
