"""What lies over a picture: boxes where the camera sees them, cut behind it, and tags at their pixels."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from dima_jax.html_report import camera_view
from dima_jax.html_report.camera_view import Mark, Scene

SIZE = (160, 90)


@pytest.fixture
def forward():
    """A camera at the LiDAR that looks forward (y): x of the image is to the right, y down."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[100, 0, 80], [0, 100, 45], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    return matrix


def box(x, y, side=1.0):
    flat = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]) / 2
    return np.concatenate([np.c_[[x, y] + side * flat, np.full(4, z)] for z in (-side / 2, side / 2)])


def scene(*corners, lines=()):
    return Scene(
        np.array(corners).reshape(-1, 8, 3), ["vehicle.car"] * len(corners), np.arange(len(corners)), [*lines],
        np.zeros(len(lines), int),
    )  # fmt: skip


def drawn(*arguments):
    root = ElementTree.fromstring(str(camera_view.draw(*arguments, "told")))
    return root, [(one.get("class"), one.get("d"), one.findtext("title")) for one in root.iter("path")]


def test_a_box_is_where_the_camera_sees_it(forward):
    root, ((class_, path, told),) = drawn(scene(box(0, 10)), forward, SIZE, [])
    assert root.get("viewBox") == "0 0 160 90" and told == "car, 10 m" and class_ == "box vehicle unhit"
    x, y = np.array(re.findall(r"([\d.-]+),([\d.-]+)", path), float).T
    assert path.count("M") == 13 and (x.min(), x.max()) == (74.7, 85.3) and (y.min(), y.max()) == (39.7, 50.3)


def test_what_the_camera_does_not_see_is_not_drawn(forward):
    behind, far, beside = box(0, -10), box(0, 90), box(60, 10)
    assert drawn(scene(behind, far, beside), forward, SIZE, [])[1] == []


def test_a_line_that_passes_the_camera_is_cut(forward):
    line = np.array([[0.5, -5.0, -1.0], [0.5, 20.0, -1.0]])
    _, ((class_, path, _),) = drawn(scene(lines=[line]), forward, SIZE, [])
    (x, y), end = np.array(re.findall(r"([\d.-]+),([\d.-]+)", path), float)
    assert class_ == "line divider" and (x - 80) / 100 == pytest.approx(0.5 / 0.3, rel=0.01)
    assert y > 90 and end.tolist() == [82.5, 50.0]


def test_numbers_that_are_none_are_left_out(forward):
    assert drawn(scene(np.full((8, 3), np.nan)), forward, SIZE, [])[1] == []
    assert drawn(scene(box(0, 10)), np.full((4, 4), np.nan), SIZE, [])[1] == []


def test_a_tag_is_a_ring_with_its_name(forward):
    root, _ = drawn(scene(), forward, SIZE, [Mark("<c1>", 40.0, 30.0)])
    (ring,) = root.iter("circle")
    assert (ring.get("cx"), ring.get("cy"), ring.findtext("title")) == ("40", "30", "<c1>")
