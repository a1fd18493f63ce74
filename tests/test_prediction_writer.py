"""Where an evaluation writes, and which places are refused. Round trips: `test_journal.py`."""

import pytest

from dima_jax.errors import UserError
from dima_jax.prediction_writer import Places


def test_files_lie_beside_the_result(tmp_path):
    places = Places.beside(tmp_path / "a.json")
    names = [places.plans, places.frames, places.perception, places.journal, places.row("student, blank images")]
    assert [place.name for place in names] == [
        *("a.student.npz", "a.frames.npz", "a.student.perception.npz", "a.json.partial"),
        "a.student.blank_images.npz",
    ]
    assert places.row("student") == places.plans and places.holds(tmp_path / "b" / ".." / "a.frames.npz")
    assert places.holds(tmp_path / "a.student.old.npz") and not places.holds(tmp_path / "truth.npz")
    odd = places.row("student, ../../x")
    assert odd.parent == tmp_path and odd != places.row("student, .._.._x")
    elsewhere = Places.beside(tmp_path / "a.json", tmp_path / "b" / "ours.npz")
    assert elsewhere.perception == tmp_path / "b" / "ours.perception.npz"


def test_places_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for out, plans in (
        (tmp_path, None),
        (tmp_path / "file" / "a.json", None),
        (tmp_path / "a.json", tmp_path),
        (tmp_path / "a.json", tmp_path / "a.json"),
        (tmp_path / "a.json", tmp_path / "a.frames.npz"),
    ):
        with pytest.raises(UserError, match="give a"):
            Places.beside(out, plans)
