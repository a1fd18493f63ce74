"""The Python API: lazy names, states by time, and images from ego poses beside the recorded path."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_prep import miniworld
from dima_jax.constants import CAMERAS
from tests.data_prep.miniworld.render.test_painter import box_rectangle, painted_rectangle

SIZE = (400, 224)


@pytest.fixture(scope="module")
def scene():
    return miniworld.simulate(index=0, seed=0, split="train", seconds=10.0)


@pytest.fixture(scope="module")
def painter():
    return miniworld.Painter(miniworld.load_town(), SIZE, seed=0)


def moved(ego, ahead=0.0, left=0.0, yaw=0.0):
    """The ego at a pose relative to its own, meters and radians."""
    c, s = np.cos(ego.yaw), np.sin(ego.yaw)
    return replace(ego, x=ego.x + c * ahead - s * left, y=ego.y + s * ahead + c * left, yaw=ego.yaw + yaw)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys; from data_prep import miniworld; assert 'Painter' in dir(miniworld);"
        "print([m for m in ('cv2', 'libsumo', 'sumolib', 'shapely', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_name_exists_and_others_do_not():
    for name in miniworld.__all__:
        assert getattr(miniworld, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Bus'"):
        _ = miniworld.Bus


def test_state_is_the_nearest_in_time(scene):
    assert scene.state(3.0) is scene.states[60] and scene.state(3.02) is scene.states[60]
    assert scene.state(3.04) is scene.states[61]
    assert scene.state(-1.0) is scene.states[0] and scene.state(99.0) is scene.states[-1]


def test_default_pose_is_that_of_the_state(scene, painter):
    state = scene.state(3.0)
    here, again = painter.paint(state), painter.paint(state, state.ego)
    for channel in CAMERAS:
        np.testing.assert_array_equal(here[channel], again[channel])


@pytest.mark.parametrize("change", [{"left": 1.0}, {"ahead": -1.0}, {"left": -1.0, "yaw": 0.2}])
def test_images_and_boxes_follow_any_ego_pose(scene, painter, change):
    """One meter off the recorded path the images change, and the projected boxes fit the agents painted from there."""
    compared = 0
    for time in (1.0, 4.0, 8.0):
        state = scene.state(time)
        ego = moved(state.ego, **change)
        before, after = painter.paint(state), painter.paint(state, ego)
        for channel in CAMERAS:
            assert np.abs(before[channel].astype(int) - after[channel]).mean() > 1.0
        for channel, mask in painter.masks(state, ego).items():
            for index in np.flatnonzero(np.bincount(mask.ravel())[1:] >= 30):
                rectangle = box_rectangle(state.agents[index], channel, ego)
                if rectangle is None:
                    continue  # reaches behind the camera
                painted = painted_rectangle(mask == index + 1)
                assert (painted[:2] >= rectangle[:2] - 1.5).all() and (painted[2:] <= rectangle[2:] + 1.5).all()
                compared += 1
        assert not np.array_equal(painter.visibility(state, ego), painter.visibility(state))
    assert compared >= 10


def test_moved_images_equal_those_of_a_state_with_that_ego(scene, painter):
    state = scene.state(2.0)
    ego = moved(state.ego, left=1.0)
    expected = painter.paint(replace(state, ego=ego))
    actual = painter.paint(state, ego)
    for channel in CAMERAS:
        assert cv2.absdiff(expected[channel], actual[channel]).max() == 0
