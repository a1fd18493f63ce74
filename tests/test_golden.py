"""Every golden piece kept in this repository, through the same command a reviewer runs."""

import sys

import numpy as np
import pytest

from tests.golden import __main__ as golden
from tests.golden.check import Check, close
from tests.golden.pieces import head_loss

PIECES = sorted(path.name for path in (golden.HERE / "data").glob("*") if path.is_dir())


@pytest.mark.parametrize("piece", PIECES)
def test_matches_the_reference(piece, capsys):
    assert golden.run_piece(golden.HERE / "data" / piece / "dev", piece), capsys.readouterr().out


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
    with np.load(golden.HERE / "data/head_loss/dev/e2e_b1.npz") as file:
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


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["golden", *map(str, arguments)])
    return golden.main()


def test_unknown_and_empty_pieces_fail(tmp_path, monkeypatch):
    (tmp_path / "mystery" / "dev").mkdir(parents=True)
    assert run(monkeypatch, "--root", tmp_path, "--split", "dev") == 1
    (tmp_path / PIECES[0] / "other").mkdir(parents=True)
    assert run(monkeypatch, "--root", tmp_path, "--split", "other") == 1
    assert run(monkeypatch, "--root", tmp_path, "--split", "absent") == 1


def test_pending_fails_unless_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "PENDING", ("later",))
    (tmp_path / "later" / "dev").mkdir(parents=True)
    assert run(monkeypatch, "--root", tmp_path) == 1
    assert run(monkeypatch, "--root", tmp_path, "--allow-pending") == 0


def test_close_sees_shapes_and_nans():
    assert close("same", [1.0, float("nan")], [1.0, float("nan")], 1e-6).passed
    assert not close("shape", [1.0], [1.0, 2.0], 1.0).passed
    assert not close("nan", [float("nan")], [1.0], 1.0).passed
    assert not Check("nan", float("nan"), 1.0).passed
