"""Every golden piece kept in this repository, through what the command `python -m tests.golden` runs; the command."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax.errors import UserError
from tests.golden import runner
from tests.golden.check import Check, close
from tests.golden.pieces import head_loss

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("piece", sorted(path.name for path in runner.DATA.glob("*") if path.is_dir()))
def test_matches_the_reference(piece, capsys):
    assert runner.run_piece(runner.DATA / piece / "dev", piece), capsys.readouterr().out


@pytest.mark.parametrize("decoder", ["agents", "map"])
def test_decoders_of_a_golden_file_may_have_different_layer_counts(decoder, tmp_path):
    """A golden loss without the first layer of one decoder: the others keep their values, since layers are summed."""
    if decoder == "map":
        terms = ("loss_map_cls", "loss_map_pts", "loss_map_dir")
        predictions, matches = ("map_all_cls_scores", "map_all_pts_preds"), ("map_assigned_gt_inds", "map_order_index")
    else:
        terms = ("loss_cls", "loss_bbox")
        predictions, matches = ("all_cls_scores", "all_bbox_preds"), ("assigned_gt_inds",)
    per_layer = [*matches, *(f"{kind}/{name}" for kind in ("pred", "grad") for name in predictions)]
    with np.load(runner.DATA / "head_loss/dev/e2e_b1.npz") as file:
        d = dict(file)
    layers = len(d[per_layer[0]])
    d["total"] = d["total"] - sum(d[f"loss/d0.{term}"].sum() for term in terms)
    for name in per_layer:
        d[name] = d[name][1:]
    for term in terms:
        for i in range(1, layers - 1):
            d[f"loss/d{i - 1}.{term}"] = d[f"loss/d{i}.{term}"]
        del d[f"loss/d{layers - 2}.{term}"]
    np.savez(tmp_path / "unequal.npz", **d)
    ((_, checks),) = head_loss.check(tmp_path)
    assert [check for check in checks if not check.passed] == []


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A root with the pieces good, bad and broken: one that passes, one that misses, one that raises."""

    def broken(folder):
        yield "first.npz", [Check("fine", 0.0, 1.0)]
        raise AssertionError("layers do not\nfit")

    pieces = {
        "good": lambda folder: [("file.npz", [Check("fine", 0.0, 1.0)])],
        "bad": lambda folder: [("file.npz", [Check("off", 2.0, 1.0)])],
        "broken": broken,
    }
    for name, check in pieces.items():
        (tmp_path / name / "dev").mkdir(parents=True)
        monkeypatch.setitem(sys.modules, f"tests.golden.pieces.{name}", SimpleNamespace(check=check))
    monkeypatch.setattr(runner, "known_pieces", lambda: sorted(pieces))
    return tmp_path


def test_pieces_run_in_turn_and_each_counts(made_up, capsys):
    assert runner.run_pieces(made_up, "dev", ["good"])
    assert not runner.run_pieces(made_up, "dev", ["bad", "good"])
    out = capsys.readouterr().out
    assert "MISS bad" in out and "ok   good" in out and "off: error 2.0" in out


def test_a_piece_that_raises_is_a_line_and_the_others_still_run(made_up, capsys):
    assert not runner.run_pieces(made_up, "dev", ["broken", "good"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAILED broken") and "AssertionError: layers do not fit" in line for line in lines)
    assert any(line.startswith("ok   good") for line in lines)
    assert lines[-1] == "golden checks FAILED"


def test_a_piece_without_files_or_folder_or_module_fails(made_up, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tests.golden.pieces.good", SimpleNamespace(check=lambda folder: []))
    (made_up / "mystery" / "dev").mkdir(parents=True)
    assert runner.present_pieces(made_up, "dev") == ["bad", "broken", "good", "mystery"]
    for piece, words in (("good", "no golden files"), ("mystery", "does not know"), ("absent", "no folder")):
        assert not runner.run_pieces(made_up, "dev", [piece])
        assert words in capsys.readouterr().out


def test_pending_fails_unless_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "PENDING", ("later",))
    (tmp_path / "later" / "dev").mkdir(parents=True)
    runner.check_names(["later"])
    assert not runner.run_pieces(tmp_path, "dev", ["later"])
    assert runner.run_pieces(tmp_path, "dev", ["later"], allow_pending=True)


def test_an_unknown_name_is_answered_with_the_nearest_and_all():
    with pytest.raises(UserError, match=r"unknown piece 'head_los'; did you mean head_loss\?.*backbone_fpn.*vad_tiny"):
        runner.check_names(["llama", "head_los"])


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "tests.golden", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_command_takes_several_pieces():
    """Both are checked, each once; not the last alone."""
    result = command("--piece", "planning_metric", "--piece=map_ap", "--piece=map_ap")
    found = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("ok")]
    assert result.returncode == 0 and set(found) == {"planning_metric", "map_ap"}, result.stdout + result.stderr
    assert found.count("map_ap") == len(list((runner.DATA / "map_ap" / "dev").glob("*.npz")))
    assert result.stdout.splitlines()[-1] == "all golden checks passed"


def test_the_commands_mistakes_are_one_line(tmp_path):
    unknown = command("--piece=planning_metric", "--piece=map_aq")
    assert unknown.returncode == 2 and not unknown.stdout
    assert unknown.stderr.startswith("error: unknown piece 'map_aq'; did you mean map_ap?")
    assert unknown.stderr.count("\n") == 1
    (tmp_path / "map_ap" / "dev").mkdir(parents=True)
    (tmp_path / "map_ap" / "dev" / "cut.npz").write_bytes(b"PK")
    damaged = command(f"--root={tmp_path}", "--split", "dev")
    assert damaged.returncode == 1 and "FAILED map_ap" in damaged.stdout
    assert "Traceback" not in damaged.stdout + damaged.stderr
    empty = command(f"--root={tmp_path}", "--split=absent")
    assert empty.returncode == 1 and "give --root and --split" in empty.stdout


def test_the_commands_help_explains_its_flags():
    result = command("--help")
    assert result.returncode == 0
    for word in ("python -m tests.golden [flags]", "--root", "--split", "--piece", "--allow-pending"):
        assert word in result.stdout


def test_close_sees_shapes_and_nans():
    assert close("same", [1.0, float("nan")], [1.0, float("nan")], 1e-6).passed
    assert not close("shape", [1.0], [1.0, 2.0], 1.0).passed
    assert not close("nan", [float("nan")], [1.0], 1.0).passed
    assert not Check("nan", float("nan"), 1.0).passed
