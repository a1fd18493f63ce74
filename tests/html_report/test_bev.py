"""Frames from above: what is drawn where."""

import re
from xml.etree import ElementTree

import numpy as np

from dima_jax.html_report import bev
from dima_jax.html_report.series import Series
from dima_jax.html_report.worst import Hit
from dima_jax.metrics import polygons
from dima_jax.scoring.recorded import GROUPS
from tests.scoring.fake import fake_plans, fake_truth

OURS = Series(0, "o<u>rs", "prediction", "s0", True)
CONTROL = Series(1, "control", "control", "c0", False)


def parts(drawing, class_: str) -> list:
    root = ElementTree.fromstring(str(drawing))
    return [one for one in root.iter() if class_ in one.get("class", "").split()]


def vertices(polygon) -> np.ndarray:
    """In the LiDAR frame."""
    return np.array([one.split(",") for one in polygon.get("points").split()], float) * [1, -1]


def without(truth, *groups):
    return type(truth)(
        truth.header, **{k: v for k, v in truth.arrays().items() if not any(k in GROUPS[g] for g in groups)}
    )


def test_the_ego_is_at_every_step_of_the_recorded_path_and_of_plans():
    truth = fake_truth(scenes=2, frames=9)
    plans = fake_plans(truth).lidar[:, 0]
    drawing = bev.draw(truth, 0, plans, [OURS, CONTROL], [], "what it shows")
    (recorded,), (plan, control) = (
        parts(drawing, "recorded"),
        sorted(parts(drawing, "plan"), key=lambda one: "off" in one.get("class")),
    )
    boxes = [one for one in plan if one.get("class") == "box"]
    assert len(boxes) == 6 == sum(one.get("class") == "box" for one in recorded) and "off" in control.get("class")
    ahead = plans[0, -1, :2] + 0.5 * np.array([np.cos(plans[0, -1, 2]), np.sin(plans[0, -1, 2])])
    np.testing.assert_allclose(vertices(boxes[-1]).mean(axis=0), ahead, atol=0.02)
    sides = np.linalg.norm(np.diff(vertices(boxes[-1]), axis=0), axis=1)
    np.testing.assert_allclose(sorted(sides), [1.85, 1.85, 4.084][: len(sides)], atol=0.03)
    assert "o&lt;u&gt;rs" in str(drawing) and len(parts(drawing, "line")) == 3 and parts(drawing, "road")
    x, y, width, height = map(float, re.search(r'viewBox="([^"]+)"', str(drawing))[1].split())
    assert x < -15 and width > 30 and -y > plans[0, -1, 1] and abs(width / height - bev.ASPECT) < 0.02


def test_unknown_steps_are_not_drawn():
    truth = fake_truth(scenes=1, frames=9)
    (recorded,) = parts(bev.draw(truth, 6, None, [], [], ""), "recorded")
    assert sum(one.get("class") == "box" for one in recorded) == 2  # frames 7 and 8


def test_who_is_struck_stands_where_he_is_then():
    truth = fake_truth(scenes=1, frames=9)
    now = int(truth.agent_start[1])  # the car ahead, in frame 1
    later = int(truth.agent_start[4])  # the same, annotated three frames later
    (a,), (b,) = bev.struck(truth, 1, [Hit(0, now, 2, ("p",))]), bev.struck(truth, 1, [Hit(0, later, 2, ("q",))])
    assert a.kind == b.kind == "car"
    np.testing.assert_allclose(
        polygons.corners(a.box[None]), polygons.corners(b.box[None].astype(np.float64)), atol=0.01
    )
    plans = fake_plans(truth).lidar[:, 1]
    drawing = bev.draw(truth, 1, plans, [OURS], [b], "")
    (collision,), (victim,) = parts(drawing, "collision"), parts(drawing, "struck")
    np.testing.assert_allclose(vertices(parts(drawing, "agent-then")[0]).mean(axis=0), b.box[:2], atol=0.02)
    assert "car, 1.5 s" in "".join(collision.itertext()) and "car" in "".join(victim.itertext())


def test_what_is_written_does_not_overlap():
    truth = fake_truth(scenes=1, frames=9)
    hits = [Hit(0, int(truth.agent_start[1]), step, ("p",)) for step in (2, 3, 2)]
    drawing = bev.draw(truth, 1, fake_plans(truth).lidar[:, 1], [OURS], bev.struck(truth, 1, hits), "")
    heights = sorted(float(one.get("y")) for one in parts(drawing, "note"))
    assert len(heights) == 3 and min(np.diff(heights)) >= bev.NOTE - 0.011


def test_a_truth_of_paths_alone_is_drawn():
    groups = [name for name in GROUPS if name not in ("paths", "masks")]
    truth = without(fake_truth(scenes=1, frames=9), *groups)
    drawing = bev.draw(truth, 0, None, [], [], "")
    assert parts(drawing, "recorded") and not parts(drawing, "agent") and not parts(drawing, "line")
