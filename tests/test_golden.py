"""Every golden piece kept in this repository, through the same command a reviewer runs."""

import sys

import pytest

from tests.golden import __main__ as golden
from tests.golden.check import Check, close

PIECES = sorted(path.name for path in (golden.HERE / "data").glob("*") if path.is_dir())


@pytest.mark.parametrize("piece", PIECES)
def test_matches_the_reference(piece, capsys):
    assert golden.run_piece(golden.HERE / "data" / piece / "dev", piece), capsys.readouterr().out


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
