"""The camera and box of visible agents and signals."""

import numpy as np
import pytest

from data_prep.miniworld.drivelm.views import views
from data_prep.miniworld.world.state import Signal
from tests.data_prep.miniworld import straight_road


@pytest.mark.parametrize(
    ("place", "camera"),
    [
        ((20.0, 0.0), "CAM_FRONT"),
        ((-20.0, 0.0), "CAM_BACK"),
        ((10.0, 14.0), "CAM_FRONT_LEFT"),
        ((-6.0, -14.0), "CAM_BACK_RIGHT"),
    ],
)
def test_views_use_the_camera_that_looks_there(place, camera):
    state = straight_road.state(straight_road.agent(*place, name="car"), x=0.0, y=0.0)
    found, (x1, y1, x2, y2) = views(state, np.ones(1), np.zeros((0, 2, 2)))["car"]
    assert found == camera and 0 <= x1 < x2 <= 1600 and 0 <= y1 < y2 <= 900
    assert views(state, np.array([0.2]), np.zeros((0, 2, 2))) == {}  # hardly visible: nobody points at it


def test_a_house_hides_a_signal():
    state = straight_road.state(x=0.0, y=0.0, signals=[Signal("s", 20.0, 0.0, 0.0, "g")])
    wall = np.array([[[10.0, -9.0], [10.0, 9.0]]])
    assert set(views(state, np.zeros(0), np.zeros((0, 2, 2)))) == {"s"}
    assert views(state, np.zeros(0), wall) == {}
