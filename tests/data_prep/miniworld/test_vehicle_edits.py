"""Where a car is added to a scene: in the way or clear of it, on nobody, in view; and the images show it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_prep.miniworld import vehicle_edits
from data_prep.miniworld.render import rig
from data_prep.miniworld.world.town import load_town
from dima_jax.constants import CAMERAS, EGO_CENTER_AHEAD
from dima_jax.scoring.edits_file import FRAMES

EVERY = 2


@pytest.fixture(scope="module")
def sites(simulated):
    _, painter, scene = simulated
    return list(vehicle_edits.sites(scene, load_town(), painter, EVERY, seed=0))


def to_world(box, state):
    """(center, direction) in the world, of a box in the LiDAR frame of a state."""
    pose = rig.sensor_to_world("LIDAR_TOP", state.ego)
    return (pose @ (*box[:2], 0.0, 1.0))[:2], pose[:2, :2] @ (np.cos(box[2]), np.sin(box[2]))


def test_places(simulated, sites):
    states = simulated[0]
    assert sites and all(k >= FRAMES - 1 and k + 6 < len(states) and (k - FRAMES + 1) % EVERY == 0 for k, _ in sites)
    for k, site in sites:
        center, direction = to_world(site.boxes[0], states[k])
        own = []
        for later in (states[k + steps].ego for steps in vehicle_edits.AHEAD):
            ahead = np.array([np.cos(later.yaw), np.sin(later.yaw)])
            own.append((*np.add((later.x, later.y), (0.94 + EGO_CENTER_AHEAD) * ahead), *ahead))
        assert np.abs(np.subtract(own, (*center, *direction))).max(axis=1).min() < 1e-6
        assert np.linalg.norm(site.boxes[0][:2]) > vehicle_edits.NEAREST - 1.0  # the LiDAR is before the rear axle
        center, _ = to_world(site.boxes[1], states[k])
        path = [(state.ego.x, state.ego.y) for state in states[k - FRAMES + 1 : k + 7]]
        assert np.linalg.norm(np.subtract(path, center), axis=-1).min() > vehicle_edits.CLEAR
        assert (np.abs(site.boxes[1][:2]) < np.add(vehicle_edits.VIEW, 1.0)).all()
        np.testing.assert_allclose(site.boxes[1][3:], (4.65, 1.85))


def test_the_images_show_the_car_and_nothing_else(simulated, sites):
    states, painter, _ = simulated
    k, site = sites[0]
    shown = states[k - FRAMES + 1 : k + 1]
    for box, images in zip(site.boxes, site.images, strict=True):
        assert len(images) == FRAMES
        for state, files in zip(shown, images, strict=True):
            recorded = vehicle_edits.paint(painter, state)
            assert len(files) == len(recorded) == len(CAMERAS) and files != recorded
        center, direction = to_world(box, states[k])
        yaw = np.arctan2(direction[1], direction[0])
        car = vehicle_edits._car(*center, yaw)
        mask = painter.masks(replace(states[k], agents=(*states[k].agents, car)))
        own = len(states[k].agents) + 1
        changed = 0
        for name, file, before in zip(CAMERAS, images[-1], vehicle_edits.paint(painter, states[k]), strict=True):
            new, old = (
                cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR).astype(int) for one in (file, before)
            )
            changed += (np.abs(new - old).max(axis=-1)[mask[name] == own] > 20).sum()
            if not (mask[name] == own).any():
                assert np.abs(new - old).mean() < 3  # its shadow at most
        assert changed > 20


def test_nobody_is_in_the_place(simulated):
    states = simulated[0]
    other = states[0].agents[0]
    car = vehicle_edits._car(other.x, other.y, other.yaw)
    assert not vehicle_edits._is_free(car, states[:1])
    assert vehicle_edits._is_free(car, (replace(states[0], agents=()),))
    beside = replace(states[0], agents=(replace(other, x=0.0, y=0.0, yaw=0.0, length=4.0, width=2.0),))
    gap = 2.0 + vehicle_edits.SIZE[1] / 2
    assert not vehicle_edits._is_free(vehicle_edits._car(gap + vehicle_edits.MARGIN - 0.1, 0.0, 0.0), (beside,))
    assert vehicle_edits._is_free(vehicle_edits._car(gap + vehicle_edits.MARGIN + 0.1, 0.0, 0.0), (beside,))


def test_who_hardly_moves_has_no_way(simulated):
    state = simulated[0][0]
    assert vehicle_edits.in_the_way((state,) * 9, 2) == []
