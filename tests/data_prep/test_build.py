"""The command of the build."""

import subprocess
import sys


def test_command_prints_one_line_and_exits_2(dataset, tmp_path):
    command = [sys.executable, "-m", "data_prep.build", f"--dataroot={dataset}", "--version=v1.0-trainval"]
    failed = subprocess.run([*command, f"--out={tmp_path / 'out'}"], capture_output=True, text=True)
    assert failed.returncode == 2
    expected = f"error: {dataset}/v1.0-trainval: no such folder; --version should be one of ['v1.0-mini']\n"
    assert failed.stderr == expected
    assert expected in (tmp_path / "out" / "build.log").read_text()
