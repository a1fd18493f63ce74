"""The map of a truth: on the road or not, against a lane or with it, and lights that are not green."""

import numpy as np
import pytest

from data_prep.mining import roads
from dima_jax.categories import AREA_LAYERS, LIGHT_STATES
from dima_jax.scoring.recorded import GROUPS, Truth
from tests.scoring import fake


@pytest.fixture(scope="module")
def truth():
    return fake.fake_truth(scenes=3, frames=8, agents=1)


def test_the_road_and_its_lanes(truth):
    found = roads.grounds(truth)
    assert list(found) == list(range(len(truth.location_names)))
    lanes = truth.area_layer[truth.center_lane] == AREA_LAYERS.index("lane")
    assert sum(len(ground.lanes) for ground in found.values()) == lanes.sum() > 0
    for scene in range(3):
        ground = found[int(truth.location[truth.scene == scene][0])]
        x, y, heading = fake.along_road(scene, np.array([0.0, 10.0]), 0.0)
        points = np.stack([x, y], axis=-1)
        assert ground.on_road(points).all() and not ground.on_road(points + 200.0).any()
        assert not ground.against(points, heading).any()
        assert ground.against(points, heading + np.pi).all()
        assert not ground.against(points, heading + np.pi / 2).any()
        assert not ground.against(points + 200.0, heading + np.pi).any()


def test_lights_that_are_not_green_close_their_lines(truth):
    counts = np.diff(truth.light_start)
    closed = [roads.closed_lines(truth, frame) for frame in range(len(truth.tokens))]
    for frame, lines in enumerate(closed):
        states = truth.light_state[slice(*truth.light_start[frame : frame + 2])]
        assert len(lines) == (states != LIGHT_STATES.index("green")).sum() <= counts[frame]
    frame = next(i for i, lines in enumerate(closed) if lines)
    around = roads.Roads(roads.grounds(truth)[int(truth.location[frame])], closed)
    x, y = np.array(closed[frame][0].centroid.coords[0])
    assert around.is_closed(frame, np.array([[x - 9.0, y - 9.0], [x + 9.0, y + 9.0]]))
    assert not around.is_closed(frame, np.array([[x + 99.0, y], [x + 199.0, y]]))
    assert not around.is_closed(frame, np.array([[x, y]]))  # nothing is driven


def test_what_a_truth_may_lack(truth):
    without = {key: array for key, array in truth.arrays().items() if key not in GROUPS["lights"]}
    assert roads.closed_lines(Truth(truth.header, **without), 0) == []
    without = {key: array for key, array in without.items() if key not in GROUPS["areas"]}
    assert roads.grounds(Truth(truth.header, **without)) == {}
