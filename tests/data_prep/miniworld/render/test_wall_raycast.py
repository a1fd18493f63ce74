"""Walls are found where they stand."""

import numpy as np

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.facades import walls_of
from data_prep.miniworld.render.projection import View
from data_prep.miniworld.render.wall_raycast import cast_rays
from tests.data_prep.miniworld import straight_road

SIZE = (400, 224)


def test_rays_find_the_wall_where_it_stands():
    state = straight_road.state(x=60.0, yaw=np.pi / 2)  # facing the house, whose front is 10 m from the rear axle
    pose = rig.sensor_to_world("CAM_FRONT", state.ego)
    view = View(rig.intrinsic("CAM_FRONT", *SIZE), pose[:3, :3].T, pose[:3, 3], *SIZE)
    visible_walls = cast_rays(walls_of(straight_road.town()), view)
    depth = 58.0 - 48.0 - 1.7
    columns = np.arange(SIZE[0])
    x = 60.0 + (columns - view.matrix[0, 2]) / view.matrix[0, 0] * depth
    on_house = (x > 60.1) & (x < 79.9)
    np.testing.assert_allclose(visible_walls.depths[0, on_house], depth, atol=1e-3)
    assert np.isinf(visible_walls.depths[0, x < 59.9]).all()
    top = view.matrix[1, 2] - view.matrix[1, 1] * (9.0 - 1.5) / depth
    np.testing.assert_allclose(visible_walls.tops[0, on_house], top, atol=1e-2)
