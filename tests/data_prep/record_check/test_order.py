"""Key frames that do not follow each other."""

import numpy as np
import pytest

from data_prep.record_check import order, rules
from tests import tiny_root

PLACE = ("scene-0061", 9)


@pytest.fixture
def pair(dataset):
    scene = tiny_root.key_frames(dataset)
    return scene.record(8, {}), scene.record(9, {})


def test_good_key_frames_follow_each_other(pair):
    assert list(order.problems(pair[1], pair[0], PLACE)) == [] == list(order.problems(pair[1], None, PLACE))


@pytest.mark.parametrize(
    ("key", "place", "change", "rule", "detail"),
    [
        ("frame_index", (), 1, rules.ORDER, "is not the frame the sidecar says"),
        ("timestamp", (), 2_000_000, rules.GAP, "2.504 s after the key frame before"),
        ("ego2global", (0, 3), 40.0, rules.JUMP, "the ego pose jumps by"),
    ],
)
def test_what_is_wrong_is_named(pair, key, place, change, rule, detail):
    previous, frame = pair
    frame[key] = np.array(frame[key])
    frame[key][place] += change
    found = list(order.problems(frame, previous, PLACE))
    assert found[0][0] == rule and detail in found[0][1]


def test_a_scene_that_ends_too_early_is_named_by_the_next(pair):
    previous, frame = pair
    frame["frame_index"], frame["scene"] = 0, frame["scene"] | {"name": "scene-0062"}
    ((rule, detail),) = order.problems(frame, previous, ("scene-0062", 0))
    assert rule == rules.ORDER and detail == f"the scene before it ends at frame 8 of {previous['scene_length']}"
    previous["frame_index"] = previous["scene_length"] - 1
    assert list(order.problems(frame, previous, ("scene-0062", 0))) == []


def test_a_path_that_leads_elsewhere_is_named(pair):
    previous, frame = pair
    previous["ego"]["future_offsets"][0] += 0.1
    ((rule, detail),) = order.problems(frame, previous, PLACE)
    assert rule == rules.ORDER and "lies elsewhere" in detail
