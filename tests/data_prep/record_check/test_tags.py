"""Tags of questions: what they name, and what lies where they point."""

import numpy as np
import pytest

from data_prep import qa
from data_prep.record_check import projection, rules, tags
from data_prep.record_check.tags import Tagged


@pytest.mark.parametrize(
    ("tag", "rule", "detail"),
    [
        ("<c1,CAM_UP,1,2>", rules.TAG, "CAM_UP,1,2> names no camera"),
        ("<c1,CAM_BACK,1,x>", rules.TAG, "CAM_BACK,1,x> names no pixel"),
        ("<c5,CAM_FRONT_RIGHT,2343.0,298.0>", rules.OUTSIDE, "is outside of the image of 1600 x 900"),
    ],
)
def test_a_tag_that_points_nowhere_is_named(frame, tag, rule, detail):
    assert list(tags.problems(tags.named(frame))) == []
    frame["qa"]["answers"] = (f"{tag} and {tag}.",)
    ((found, told),) = tags.problems(tags.named(frame))
    assert found == rule and detail in told


def test_corners_are_around_the_box_floor_first():
    box = np.array([[1.0, 2.0, 0.5, 2.0, 4.0, 1.0, -np.pi, 0, 0]])  # heading pi / 2: forward
    found = tags.corners(box)[0]
    np.testing.assert_allclose(found[:4], [[0, 4, 0], [2, 4, 0], [2, 0, 0], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(found[4:], found[:4] + np.array([0, 0, 1]))


def test_tags_are_on_boxes_unless_they_are_moved(frame):
    boxes, rig = frame["agents"]["boxes"], projection.rig(frame)
    centers, depth = projection.project(boxes[:, :3].astype(float), rig.lidar2img)
    seen = [(c, i) for c, i in zip(*np.nonzero(projection.inside(rig, boxes[:, :3].astype(float))), strict=True)]
    assert len(seen) >= 3 and depth.max() > 5
    scale = np.array(qa.IMAGE_SIZE) / rig.sizes[0]
    marked = [f"<c{i},{rig.names[c]},{','.join(map(str, centers[c, i] * scale))}>" for c, i in seen]
    found = tags.on_boxes(marked, boxes, rig)
    assert sum(one.tags for one in found.values()) == sum(one.on_box for one in found.values()) == len(seen)
    assert set(found) == {rig.names[c] for c, _ in seen}
    sky = [f"<c{i},{rig.names[c]},800,5>" for c, i in seen]
    assert sum(one.on_box for one in tags.on_boxes(sky, boxes, rig).values()) == 0
    assert tags.on_boxes(marked, boxes[:0], rig) == {} == tags.on_boxes([], boxes, rig)


def test_signs_have_no_box(frame):
    a, b, c = (f"<c{i},CAM_FRONT,{100 * i},1>" for i in (1, 2, 3))
    frame["qa"]["questions"] = (
        f"What kind of traffic sign is {a}?",
        f"Is {b} a traffic sign or a road barrier?",
        f"Is {c} a traffic sign or a road barrier?",
    )
    frame["qa"]["answers"] = ("Traffic light.", "Yes.", "No.")
    assert tags.without_box(frame) == {a, b} and tags.named(frame) == [a, b, c]


def test_a_camera_whose_tags_miss_the_boxes_is_named():
    found = {"CAM_BACK": Tagged(20, 9), "CAM_FRONT": Tagged(20, 10), "CAM_LEFT": Tagged(19, 0)}
    assert list(tags.scene_problems(found)) == [(rules.ON_BOX, "9 of 20 tags of CAM_BACK are on a box")]
