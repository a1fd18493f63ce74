"""The painted images: boxes fit the painted agents, occlusion, lamps, signals, markings, determinism."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.painter import Painter
from dima_jax.constants import CAMERAS
from tests.data_prep.miniworld import straight_road

SIZE = (400, 224)


@pytest.fixture(scope="module")
def street():
    return straight_road.town()


@pytest.fixture(scope="module")
def painter(street):
    return Painter(street, SIZE, seed=3)


def box_corners(agent):
    signs = np.array([(a, b, c) for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (0.0, 1.0)])
    local = signs * (agent.length, agent.width, agent.height)
    c, s = np.cos(agent.yaw), np.sin(agent.yaw)
    turned = local @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return turned + np.array([agent.x, agent.y, 0.0])


def box_rectangle(agent, channel, ego, size=SIZE):
    """The rectangle (x0, y0, x1, y1) of the projected 3D box, not cut to the image; None if a corner is behind."""
    world_to_camera = np.linalg.inv(rig.sensor_to_world(channel, ego))
    points = box_corners(agent) @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    if (points[:, 2] < 0.3).any():
        return None
    pixels = points @ rig.intrinsic(channel, *size).T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])


def painted_rectangle(mask):
    rows, columns = np.nonzero(mask)
    return np.array([columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5])


def iou(a, b):
    overlap = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0))
    return overlap / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - overlap)


@pytest.mark.parametrize("category", straight_road.SIZES)
def test_box_fits_the_painted_body_in_every_camera(painter, category):
    around = [
        (14.0, 3.0, 0.4),
        (10.0, -7.0, 1.1),
        (9.0, 9.0, -0.7),
        (-12.0, 0.5, 2.0),
        (-4.0, 9.0, 0.0),
        (-3.0, -9.0, 1.5),
    ]
    ious = []
    for ahead, left, yaw in around:
        agent = straight_road.agent(40 + ahead, 48 + left, category, straight_road.SIZES[category], yaw, speed=1.0)
        state = straight_road.state(agent)
        for channel, mask in painter.masks(state).items():
            rectangle = box_rectangle(agent, channel, state.ego)
            if mask.max() == 0 or rectangle is None:
                continue
            painted = painted_rectangle(mask == 1)
            assert (painted[:2] >= rectangle[:2] - 1.5).all() and (painted[2:] <= rectangle[2:] + 1.5).all()
            cut = np.clip(rectangle, -0.5, np.array([SIZE[0], SIZE[1]] * 2) - 0.5)
            if np.prod(cut[2:] - cut[:2]) > 0.8 * np.prod(rectangle[2:] - rectangle[:2]) > 60:
                ious.append(iou(painted, cut))
    assert len(ious) >= 4
    assert np.mean(ious) > 0.7 and min(ious) > 0.5, np.round(ious, 2)


def test_mask_is_where_the_picture_changes(painter):
    agent = straight_road.agent(54.0, 48.0)
    empty, full = straight_road.state(), straight_road.state(agent)
    before, after = painter.paint(empty)["CAM_FRONT"], painter.paint(full)["CAM_FRONT"]
    mask = painter.masks(full)["CAM_FRONT"] == 1
    changed = np.abs(before.astype(int) - after).max(axis=2) > 8
    assert mask.sum() > 500
    assert changed[mask].mean() > 0.9
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
    above = np.zeros_like(mask)
    above[: np.nonzero(mask)[0].max() - 12] = True  # below lies the shadow
    assert changed[above & ~near].mean() < 0.02


def test_nearer_agent_hides_the_farther_one(painter):
    behind, before = straight_road.agent(70.0, 48.0), straight_road.agent(56.0, 48.0, "vehicle.truck", (2.5, 7.0, 3.2))
    state = straight_road.state(behind, before)
    mask = painter.masks(state)["CAM_FRONT"]
    assert (mask == 2).sum() > 500
    assert (mask == 1).sum() == 0
    np.testing.assert_allclose(painter.visibility(state), [0.0, 1.0], atol=1e-9)


def test_half_hidden_agent_is_half_visible(painter):
    far = straight_road.agent(62.0, 50.6)
    beside = straight_road.agent(56.0, 48.9, "vehicle.truck", (2.5, 7.0, 3.2))
    share = painter.visibility(straight_road.state(far, beside))
    alone = painter.visibility(straight_road.state(far))
    assert 0.1 < share[0] < 0.9
    assert share[1] == alone[0] == 1.0


def test_house_hides_what_stands_behind_it(painter, street):
    agent = straight_road.agent(72.0, 76.0)
    state = straight_road.state(agent, x=60.0, yaw=0.9)
    assert painter.visibility(state)[0] == 0.0
    open_town = Painter(straight_road.town(houses=False), SIZE, seed=3)
    assert open_town.visibility(state)[0] > 0.5


@pytest.mark.parametrize("channel, ahead, yaw", [("CAM_FRONT", 12.0, 0.0), ("CAM_BACK", -12.0, np.pi)])
def test_brake_lamps_turn_red(painter, channel, ahead, yaw):
    calm = straight_road.agent(40.0 + ahead, 48.0, yaw=yaw, paint=4)
    state = straight_road.state(calm)
    off = painter.paint(state)[channel].astype(int)
    on = painter.paint(replace(state, agents=(replace(calm, braking=True),)))[channel].astype(int)
    redder = (on[..., 2] - on[..., 0]) - (off[..., 2] - off[..., 0]) > 60
    mask = painter.masks(state)[channel] == 1
    assert redder.sum() >= 12
    assert redder[cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) == 0].sum() == 0


def test_brake_lamp_of_an_oncoming_car_is_not_seen(painter):
    agent = straight_road.agent(52.0, 52.0, yaw=np.pi)
    on = painter.paint(straight_road.state(replace(agent, braking=True)))["CAM_FRONT"]
    np.testing.assert_array_equal(on, painter.paint(straight_road.state(agent))["CAM_FRONT"])


@pytest.mark.parametrize("blinker", [-1, 1])
def test_blinker_is_amber_on_its_own_side(painter, blinker):
    agent = straight_road.agent(52.0, 48.0, paint=0)
    dark = painter.paint(straight_road.state(agent))["CAM_FRONT"].astype(int)
    lit = painter.paint(straight_road.state(replace(agent, blinker=blinker)))["CAM_FRONT"].astype(int)
    changed = (lit - dark)[..., 2] > 40
    columns = np.nonzero(changed)[1]
    middle = np.nonzero(painter.masks(straight_road.state(agent))["CAM_FRONT"])[1].mean()
    assert len(columns) >= 4
    assert (np.sign(middle - columns) == blinker).all()


@pytest.mark.parametrize("lamp, channel", [("r", 2), ("g", 1)])
@pytest.mark.parametrize("distance", [15.0, 30.0, 45.0])
def test_signal_color_survives_a_small_image(street, lamp, channel, distance):
    state = straight_road.state(x=70.0 - 1.7 - distance, signals=[straight_road.light(lamp)])
    for seed in range(3):
        image = Painter(street, (160, 90), seed).paint(state)["CAM_FRONT"].astype(int)
        camera = rig.intrinsic("CAM_FRONT", 160, 90)
        u, v = camera[0, 2] + camera[0, 0] * 3.0 / distance, camera[1, 2] - camera[1, 1] * 1.75 / distance
        part = image[max(0, int(v) - 8) : int(v) + 9, max(0, int(u) - 4) : int(u) + 6]
        others = np.delete(part, (0, channel) if channel == 1 else channel, axis=2).max(axis=2)
        assert (part[..., channel] - others).max() > 60


def test_yellow_is_red_and_green(street):
    state = straight_road.state(x=45.0, signals=[straight_road.light("y")])
    image = Painter(street, SIZE, 0).paint(state)["CAM_FRONT"].astype(int)
    assert ((image[..., 2] > 200) & (image[..., 1] > 150) & (image[..., 0] < 120)).sum() >= 4


def test_markings_lie_where_the_map_says(street, painter):
    state = straight_road.state(x=52.0)
    image = painter.paint(state)["CAM_FRONT"].astype(int)
    world_to_camera = np.linalg.inv(rig.sensor_to_world("CAM_FRONT", state.ego))
    camera = rig.intrinsic("CAM_FRONT", *SIZE)

    def pixel(x, y):
        point = camera @ (world_to_camera @ [x, y, 0.0, 1.0])[:3]
        return image[round(point[1] / point[2]), round(point[0] / point[2])]

    stop, road, divider = pixel(68.25, 48.0), pixel(66.0, 48.0), pixel(60.0, 50.0)
    assert stop.mean() > road.mean() + 50
    assert divider[2] > divider[0] + 60  # yellow
    assert abs(road[2] - road[0]) < 40


def test_same_seed_same_bytes_other_seed_other_light(street):
    state = straight_road.state(straight_road.agent(52.0, 48.0), signals=[straight_road.light("r")])
    first, again = (Painter(street, (160, 90), seed=5).paint(state) for _ in range(2))
    other = Painter(street, (160, 90), seed=6)
    for channel in CAMERAS:
        assert first[channel].shape == (90, 160, 3) and first[channel].dtype == np.uint8
        np.testing.assert_array_equal(first[channel], again[channel])
    assert np.abs(other.paint(state)["CAM_FRONT"].astype(int) - first["CAM_FRONT"]).mean() > 3
    small, large = other.masks(state)["CAM_FRONT"], Painter(street, SIZE, 6).masks(state)["CAM_FRONT"]
    assert small.shape == (90, 160) and small.dtype == np.int32
    assert (small == 1).sum() / small.size == pytest.approx((large == 1).sum() / large.size, rel=0.15)


def test_agent_at_the_lens_and_beyond_the_map_are_painted(painter):
    beside = straight_road.agent(41.5, 50.6, "vehicle.bus.rigid", (2.9, 11.0, 3.4))
    images = painter.paint(straight_road.state(beside))
    masks = painter.masks(straight_road.state(beside))
    assert (masks["CAM_FRONT_LEFT"] == 1).mean() > 0.5
    assert all(np.isfinite(image).all() for image in images.values())
    outside = painter.paint(straight_road.state(x=400.0, y=-300.0))
    assert outside["CAM_FRONT"].std() > 1.0
