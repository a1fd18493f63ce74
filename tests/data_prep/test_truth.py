"""The command: flags that do not go together, and the same bytes from run to run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dima_jax.scoring import truth

ROOT = Path(__file__).parents[2]


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "data_prep.truth", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give --data=FOLDER of data_prep.build, or --field=FILES"),
        (("--dataroot=x", "--field=a.json"), "--dataroot adds to the records of --data alone"),
        (("--data=x", "--scenes=a.json"), "--scenes goes with --field"),
        (("--data=absent",), "absent: no records; make them with"),
        (("--field=absent.pkl",), "absent.pkl: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, why):
    result = command(*arguments, "--out=out.npz", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1) and why in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())


def test_two_runs_give_the_same_bytes(built, tmp_path):
    for name in ("a.npz", "b.npz"):
        result = command(f"--data={built}", "--split=val", f"--out={name}", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert "a.npz: 11 frames of 1 scenes, val" not in result.stdout and "b.npz: 11 frames" in result.stdout
    assert "holds scenes, times, places" in result.stdout
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert len(truth.load(tmp_path / "a.npz").tokens) == 11


def test_unknown_scenes_are_said(tmp_path):
    files = {"p.json": np.full((6, 2), 2.0).tolist(), "m.json": np.ones((6, 2)).tolist()}
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps({"token": value}))
    result = command("--field=p.json,m.json", "--out=out.npz", cwd=tmp_path)
    assert result.returncode == 0 and "scores will have no intervals" in result.stdout, result.stderr
    assert truth.load(tmp_path / "out.npz").header["scenes"] == "unknown"
