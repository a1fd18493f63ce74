"""The command: mistakes are one line, and the same lists from records and from the tables that they were made of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.mining import rules
from dima_jax.scoring import truth
from tests import tiny_root
from tests.scoring.fake import fake_truth

ROOT = Path(__file__).parents[2]


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "data_prep.mine", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give one of --dataroot=ROOT, --truth=FILE and --data=FOLDER"),
        (("--truth=a.npz", "--data=b"), "give one of --dataroot=ROOT, --truth=FILE and --data=FOLDER"),
        (("--truth=absent.npz",), "absent.npz"),
        (("--data=absent",), "absent: no records; make them with"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, why):
    result = command(*arguments, "--out=tokens.json", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1) and why in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())


def test_lists_of_a_truth_file(tmp_path):
    made = fake_truth(scenes=2, frames=8, agents=2)
    header = {"split": "val", "source": {}, "commit": "c", "data_hash": "d"}
    truth.save(tmp_path / "truth.npz", made.arrays(), header)
    wrong = command("--truth=truth.npz", "--split=train", "--out=a.json", cwd=tmp_path)
    assert wrong.returncode == 2 and "truth.npz: is of split val; leave --split out" in wrong.stderr
    result = command("--truth=truth.npz", "--out=a.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "16 key frames of 2 scenes, val" in result.stdout and "no map:" not in result.stdout
    content = json.loads((tmp_path / "a.json").read_text())
    assert list(content["tokens"]) == list(rules.RULES) and content["has_lights"]
    assert content["tokens"]["targeted"] == made.tokens[made.targeted].tolist()
    assert content["source"]["content_hash"] == truth.load(tmp_path / "truth.npz").header["content_hash"]


def test_records_and_tables_give_the_same_lists(built, dataset, tmp_path):
    of_records = command(f"--data={built}", "--out=a.json", cwd=tmp_path)
    assert of_records.returncode == 0, of_records.stderr
    assert "11 key frames of 1 scenes, val" in of_records.stdout and "no map:" in of_records.stdout
    tables = (f"--dataroot={dataset}", f"--version={tiny_root.VERSION}", "--split=val")
    of_tables = command(*tables, "--out=b.json", cwd=tmp_path)
    assert of_tables.returncode == 0 and "no map:" not in of_tables.stdout, of_tables.stderr
    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert list(a["tokens"]) == list(rules.RULES) and a["tokens"] == b["tokens"]
    assert a["source"]["token_hash"] == b["source"]["token_hash"] and (a["has_map"], b["has_map"]) == (False, True)
