"""The order of the painter's algorithm."""

import numpy as np

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.projection import View, back_to_front
from tests.data_prep.miniworld import straight_road

SIZE = (400, 224)


def test_long_body_is_ordered_by_the_line_between_not_by_its_middle():
    """A car beyond the near end of a long bus is nearer than the bus's middle, yet the bus hides it."""

    def footprint(x0, x1, y0, y1):
        return np.array([(x1, y0), (x1, y1), (x0, y1), (x0, y0)], float)

    bus, car = footprint(4.0, 30.0, 2.0, 4.5), footprint(5.0, 9.0, 5.0, 7.0)
    pose = rig.sensor_to_world("CAM_FRONT_LEFT", straight_road.state(x=0.0, y=0.0).ego)
    view = View(rig.intrinsic("CAM_FRONT_LEFT", *SIZE), pose[:3, :3].T, pose[:3, 3], *SIZE)
    assert back_to_front(np.stack([bus, car]), view).tolist() == [1, 0]
    assert back_to_front(np.stack([car, bus])[:, ::-1], view).tolist() == [0, 1]
