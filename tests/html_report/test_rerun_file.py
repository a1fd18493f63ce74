"""Scenes for Rerun: everything is logged, on a timeline of its scene; where the package is missing, one line says so."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.html_report import rerun_file
from tests.html_report import fake_page


class Recording:
    """What was logged: ((timeline, seconds), place, what)."""

    def __init__(self):
        self.logged, self.time = [], None

    def save(self, path):
        path.touch()

    def set_time(self, timeline, duration):
        self.time = (timeline, duration)

    def log(self, place, what, static=False):
        self.logged.append((self.time, place if isinstance(place, str) else "/".join(place), what))

    def set_log_time_enabled(self, on): ...
    def set_log_tick_enabled(self, on): ...
    def reset_time(self): ...
    def disconnect(self): ...


def stand_in(recording):
    """Of the package; everything goes to `recording`."""

    def made(kind):
        return lambda *values, **named: SimpleNamespace(kind=kind, values=values, **named)

    kinds = {kind: made(kind) for kind in ("Boxes3D", "LineStrips3D", "EncodedImage", "Clear")}
    return SimpleNamespace(
        RecordingStream=lambda name: recording, ViewCoordinates=SimpleNamespace(RIGHT_HAND_Z_UP=None), **kinds
    )


def test_scenes_are_timelines(tmp_path, monkeypatch):
    recording = Recording()
    monkeypatch.setattr(rerun_file, "package", lambda: stand_in(recording))
    result, frames, truth = fake_page.scored()
    rerun_file.write(tmp_path / "a.rrd", result, frames, truth, fake_page.pictures)
    logged = recording.logged
    assert (tmp_path / "a.rrd").exists()
    times = {time for time, _, _ in logged if time}
    assert ("scene-0000", 0.0) in times and ("scene-0000", 0.5) in times
    places = {place for time, place, _ in logged if time == ("scene-0001", 1.0)}
    plan = f"world/plans/{fake_page.HOSTILE[0]}"
    assert places >= {
        "world/ego",
        "world/agents",
        "world/recorded path",
        "world/map/divider",
        f"{plan}/path",
        f"{plan}/boxes",
    }
    kinds = {place: what.kind for time, place, what in logged if time == ("scene-0001", 1.0)}
    assert kinds["cameras/CAM_FRONT"] == "EncodedImage" and kinds["cameras/CAM_BACK_RIGHT"] == "Clear"  # no picture
    assert plan not in places
    boxes = next(what for time, place, what in logged if place == "world/agents" and time == ("scene-0000", 0.0))
    agents = truth.boxes[: truth.agent_start[1]]
    np.testing.assert_allclose(boxes.half_sizes, agents[:, [4, 3, 5]] / 2)
    np.testing.assert_allclose(2 * np.arctan2(boxes.quaternions[0, 2], boxes.quaternions[0, 3]), np.pi / 2, atol=1e-5)
    assert boxes.labels[0] == "car"


def test_a_frame_without_a_plan_shows_none(tmp_path, monkeypatch):
    """What is logged stays in the viewer until something else is logged there."""
    recording = Recording()
    monkeypatch.setattr(rerun_file, "package", lambda: stand_in(recording))
    result, frames, truth = fake_page.scored()
    plans = frames.arrays["plans"].copy()
    plans[0, 1, 3] = np.nan
    frames = frames._replace(arrays=frames.arrays | {"plans": plans})
    rerun_file.write(tmp_path / "a.rrd", result, frames, truth)
    plan, when = f"world/plans/{fake_page.HOSTILE[0]}", ("scene-0000", 0.5)
    found = {place: what for time, place, what in recording.logged if time == when and place.startswith(plan)}
    assert list(found) == [plan] and found[plan].kind == "Clear" and found[plan].recursive


def test_without_the_package_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(UserError, match=r"pip install 'dima_jax\[rerun\]'"):
        rerun_file.write(tmp_path / "a.rrd", *fake_page.scored())
    assert not (tmp_path / "a.rrd").exists()


@pytest.mark.slow
def test_the_package_takes_it(tmp_path):
    rerun = pytest.importorskip("rerun", reason="no rerun; pip install rerun-sdk")
    path = rerun_file.write(tmp_path / "a.rrd", *fake_page.scored(), fake_page.pictures)
    assert path.stat().st_size > 10_000 and path.read_bytes()[:3] == b"RRF" and rerun
