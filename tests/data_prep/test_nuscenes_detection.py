"""The command: a perception file in, results and scores out, one line for what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.scenes import Root
from tests import tiny_root
from tests.data_prep import annotated_root

ROOT = Path(__file__).parents[2]


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "data_prep.nuscenes_detection", f"--version={tiny_root.VERSION}", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    folder = annotated_root.annotate(shutil.copytree(dataset, tmp_path_factory.mktemp("annotated") / "root"))
    tokens, found = annotated_root.perfect(Root(str(folder), tiny_root.VERSION))
    annotated_root.write(folder / "ours.npz", tokens, found)
    annotated_root.write(folder / "part.npz", tokens[:-1], found[:-1])
    return folder


def test_scores_of_a_root(folder, tmp_path):
    result = command(f"--dataroot={folder}", f"--perception={folder}/ours.npz", "--out=out/nds", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    out = tmp_path / "out" / "nds"
    assert sorted(path.name for path in out.iterdir()) == [
        "metrics_summary.json",
        "nuscenes_detection.json",
        "results_nusc.json",
    ]
    told = json.loads((out / "nuscenes_detection.json").read_text())
    assert (told["split"], told["samples"], told["planner"]) == ("mini_val", 11, "ours")
    assert told["scores"]["nuscenes"]["present"]["mAP"] == pytest.approx(1.0)
    assert set(told["scores"]) == {"nuscenes", "vad_range", "vad_range_as_coded"}
    assert f"NDS {told['scores']['nuscenes']['numbers']['NDS']:.3f}, mAP 0.400" in result.stdout
    results = json.loads((out / "results_nusc.json").read_text())
    assert results["meta"]["use_camera"] and len(results["results"]) == 11
    assert json.loads((out / "metrics_summary.json").read_text())["mean_ap"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dataroot={folder}", "--perception={folder}/absent.npz"), "absent.npz: No such file or directory"),
        (("--dataroot={folder}", "--perception={folder}/part.npz"), "1 of 11 samples of the split are not in the file"),
        (("--dataroot={folder}", "--perception={folder}/ours.npz", "--split=train"), "11 of 11 frames are not samples"),
        (("--dataroot={folder}", "--perception={folder}/ours.npz", "--split=test"), "--split=test: "),
        (("--dataroot=absent", "--perception={folder}/ours.npz"), "absent: no such folder; --dataroot is the folder"),
        (
            ("--dataroot={folder}", "--perception={folder}/ours.npz", "--out={folder}/ours.npz"),
            "is a file; give a folder",
        ),
    ],
)
def test_a_mistake_is_one_line(folder, tmp_path, arguments, said):
    result = command("--out=out", *(one.format(folder=folder) for one in arguments), cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1) and said in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())
