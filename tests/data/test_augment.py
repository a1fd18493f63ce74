"""Augmented windows: the mirrored, zoomed or recolored world is seen where its matrices and targets say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.data import augment, fake_batch, loader, targets, windows
from dima_jax.errors import UserError
from dima_jax.student import bev_geometry

RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
VALID = (45, 80)


@pytest.fixture
def batch(config):
    """A random batch of two, B first, its images padded with zeros."""
    config.data.batch_size = 2
    batch = fake_batch.example(config)
    batch.images[..., VALID[0] :, :, :] = batch.images[..., VALID[1] :, :] = 0
    return batch


def pixels(points, lidar2img):
    """(u, v) [..., n, 2] and depth [..., n] of points [n, 3]."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=-1)
    u, v, depth, _ = np.moveaxis(homogeneous @ np.swapaxes(lidar2img.astype(float), -1, -2), -1, 0)
    return np.stack([u, v], axis=-1) / depth[..., None], depth


def flip(batch):
    return augment.flip(batch, CAMERAS, VALID, RANGE)


def camera(name):
    return CAMERAS.index(name)


def test_cameras_of_another_rig_change_sides(batch):
    names = ("side_left", "front", "rear_right", "side_right", "rear_left")
    own = batch.replace(images=batch.images[:, :, :5], lidar2img=batch.lidar2img[:, :, :5])
    mirrored = augment.flip(own, names, VALID, RANGE)
    expected = batch.images[:, :, [3, 1, 4, 0, 2], :, : VALID[1]][..., ::-1, :]
    np.testing.assert_array_equal(mirrored.images[..., : VALID[1], :], expected)


def test_mirrored_twice_is_as_recorded(batch):
    batch.can_bus[..., 16] %= 2 * np.pi
    twice = flip(flip(batch))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4), twice, batch)
    np.testing.assert_array_equal(twice.images, batch.images)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.dtype, b.dtype), twice, batch)


def test_mirrored_point_is_at_the_mirrored_pixel_of_the_mirrored_camera(batch):
    mirrored = flip(batch)
    points = np.random.default_rng(0).uniform(RANGE[:3], RANGE[3:], (200, 3))
    before, depth = pixels(points, batch.lidar2img)
    after, depth_after = pixels(points * (-1, 1, 1), mirrored.lidar2img)
    pairs = {"CAM_FRONT": "CAM_FRONT", "CAM_BACK": "CAM_BACK", "CAM_FRONT_LEFT": "CAM_FRONT_RIGHT"}
    pairs |= {"CAM_FRONT_RIGHT": "CAM_FRONT_LEFT", "CAM_BACK_LEFT": "CAM_BACK_RIGHT", "CAM_BACK_RIGHT": "CAM_BACK_LEFT"}
    for name, counterpart in pairs.items():
        one, other = camera(name), camera(counterpart)
        np.testing.assert_allclose(depth_after[:, :, other], depth[:, :, one], atol=1e-4)
        seen = depth[0, 0, one] > 1
        np.testing.assert_allclose(after[:, :, other, seen], before[:, :, one, seen] * (-1, 1) + (80, 0), atol=1e-2)
        for u, v in before[0, 0, one, seen]:
            if 0 < u < 80 and 0 < v < 45:
                expected = batch.images[0, 0, one, int(v), int(u)]
                np.testing.assert_array_equal(mirrored.images[0, 0, other, int(v), 79 - int(u)], expected)
    assert not mirrored.images[..., 45:, :, :].any() and not mirrored.images[..., 80:, :].any()


def test_targets_are_those_of_a_mirrored_record(config):
    """Of every frame of the tiny data set: a street, its divider and a closed crossing, agents."""
    order = loader.TrainWindows(config)
    closed = 0
    for position in range(8):
        sample = order.sample(position)
        mirrored = flip(sample)
        record = order.frames[int(sample.index)].record
        agents, lines = dict(record["agents"]), dict(record["map"])
        agents["boxes"] = agents["boxes"] * np.float32([-1, 1, 1, 1, 1, 1, -1, -1, 1])
        agents["future_offsets"] = agents["future_offsets"] * np.float32([-1, 1])
        agents["future_yaw"] = -agents["future_yaw"]
        expected, _ = targets.agent_targets(agents, "train", RANGE, config.data.max_agents)
        turns = (mirrored.agents.boxes[:, 6] - expected.boxes[:, 6]) / (2 * np.pi)
        np.testing.assert_allclose(turns, turns.round(), atol=1e-5)
        expected.boxes[:, 6] = mirrored.agents.boxes[:, 6]
        jax.tree.map(np.testing.assert_array_equal, mirrored.agents, expected)

        turned = [line[::-1] * np.float32([-1, 1]) for line in targets.split_lines(lines)]  # keeps its turning sense
        lines["vertices"] = np.concatenate(turned)
        expected, _ = targets.map_targets(lines, RANGE, config.student.num_points, config.data.max_map)
        np.testing.assert_array_equal(mirrored.map.order_mask, expected.order_mask)
        for row in np.flatnonzero(expected.mask):
            closed += (turned[row][0] == turned[row][-1]).all()
            for name in ("points", "normalized_points"):
                ours, theirs = (getattr(x, name)[row][expected.order_mask[row]] for x in (mirrored.map, expected))
                distance = np.abs(ours[:, None] - theirs).max(axis=(-1, -2))
                assert distance.min(axis=0).max() < 1e-4 and distance.min(axis=1).max() < 1e-4
        assert not mirrored.map.normalized_points[~mirrored.map.order_mask].any()
        np.testing.assert_allclose(mirrored.ego.future_offsets, sample.ego.future_offsets * (-1, 1))
        np.testing.assert_allclose(mirrored.ego.history_offsets, sample.ego.history_offsets * (-1, 1))
    assert closed


def test_agents_turn_and_drive_the_other_way():
    """yaw_box = -heading - pi/2, and a mirrored heading is pi - heading."""
    heading = np.linspace(-3, 3, 7)
    turns = ((-heading - np.pi / 2) * augment.BOX_SIGN[6] - (-(np.pi - heading) - np.pi / 2)) / (2 * np.pi)
    np.testing.assert_allclose(turns, turns.round(), atol=1e-6)


def test_commands_change_sides(batch):
    names = [COMMANDS[i] for i in flip(batch).command.argmax(axis=-1)]
    swap = {"left": "right", "right": "left", "straight": "straight"}
    assert names == [swap[COMMANDS[i]] for i in batch.command.argmax(axis=-1)]


def test_frames_stay_together(batch):
    rng = np.random.default_rng(0)
    turn, point = np.linalg.qr(rng.normal(size=(4, 4)))[0].astype(np.float32), rng.normal(size=4)
    batch = batch.replace(frame_to_current=batch.frame_to_current @ turn)
    mirrored = flip(batch).frame_to_current
    sign = np.array([-1, 1, 1, 1])
    np.testing.assert_allclose(mirrored @ (sign * point), (batch.frame_to_current @ point) * sign, atol=1e-5)


def test_can_bus_is_that_of_a_mirrored_drive(batch):
    """Position, yaw and rates of the ego in a global frame with y mirrored, before they become differences."""
    rng = np.random.default_rng(0)
    absolute = rng.normal(size=(2, 3, 18))
    absolute[..., 17] = rng.uniform(0, 360, (2, 3))
    absolute[..., 16] = np.radians(absolute[..., 17])
    mirrored = absolute.copy()
    mirrored[..., [1, 8, 10, 12, 14]] *= -1
    mirrored[..., 17] = 360 - absolute[..., 17]
    mirrored[..., 16] = np.radians(mirrored[..., 17])
    before, expected = (np.stack([windows.can_bus_deltas(x) for x in drive]) for drive in (absolute, mirrored))
    after = flip(batch.replace(can_bus=before.astype(np.float32))).can_bus
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-4)


def test_the_previous_bev_moves_as_in_the_mirror(batch):
    shape, center, rng = (20, 10), (5, 10), np.random.default_rng(0)
    can_bus = rng.normal(size=batch.can_bus.shape).astype(np.float32)
    can_bus[..., 16], can_bus[..., 17] = rng.uniform(0, 6.28, (2, 4)), rng.uniform(-25, 25, (2, 4))
    mirrored = flip(batch.replace(can_bus=can_bus)).can_bus[:, 1]
    can_bus = can_bus[:, 1]
    shift, shift_after = (np.asarray(bev_geometry.ego_shift(jnp.asarray(x), RANGE)) for x in (can_bus, mirrored))
    np.testing.assert_allclose(shift_after, shift * (-1, 1), atol=1e-6)
    bev = rng.normal(size=(2, *shape, 3)).astype(np.float32)

    def rotated(bev, angle):
        return np.asarray(
            bev_geometry.rotate_bev(jnp.asarray(bev.reshape(2, -1, 3)), jnp.asarray(angle), shape, center)
        ).reshape(bev.shape)

    expected = rotated(bev, can_bus[:, 17])[:, :, ::-1]
    assert np.abs(expected - bev[:, :, ::-1]).max() > 0.1, "no rotation at all"
    np.testing.assert_array_equal(rotated(bev[:, :, ::-1], mirrored[:, 17]), expected)


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.8])
@pytest.mark.parametrize("place", [(0.0, 1.0), (0.7, 0.2)])
def test_zoomed_point_is_where_the_matrix_says(batch, scale, place):
    """A ramp over columns and one over rows say where each new pixel comes from, to a twentieth of a pixel."""
    images = np.zeros((1, 6, 64, 96, 3), np.uint8)
    images[..., : VALID[0], : VALID[1], 0] = 3 * np.arange(VALID[1]) + 3
    images[..., : VALID[0], : VALID[1], 1] = 5 * np.arange(VALID[0])[:, None] + 5
    images[..., : VALID[0], : VALID[1], 2] = 255
    lidar2img = batch.lidar2img[0, :1]
    moved = augment.zoom(images, lidar2img, scale, place, VALID)
    points = np.array([[0.3, 12.0, -0.5], [-2.1, 9.0, 1.0]])
    before, after = (pixels(points, matrix)[0][0, 0] for matrix in (lidar2img, moved))
    factor = (after[1] - after[0]) / (before[1] - before[0])
    np.testing.assert_allclose(factor, scale, rtol=0.02)
    centers = np.arange(80) + 0.5, np.arange(45) + 0.5  # of new pixels
    source = [before[0, i] + (centers[i] - after[0, i]) / factor[i] for i in range(2)]
    inside = images[0, 0, :45, :80, 2] == 255
    for channel, slope, expected in ((0, 3, source[0][None, :]), (1, 5, source[1][:, None])):
        found = images[0, 0, :45, :80, channel] / slope - 0.5
        assert abs((found - expected)[inside].mean()) < 0.05 and np.abs(found - expected)[inside].max() < 0.3
    assert inside.all() == (scale >= 1)
    assert not images[..., 45:, :, :].any() and not images[..., 80:, :].any()


def test_zoom_and_color_leave_what_comes_after(batch, config):
    sample = jax.tree.map(lambda x: x[0].copy(), batch)
    config.data.update(zoom=(1.3, 1.3), color=1.0)
    changed = augment.augment(jax.tree.map(np.copy, sample), config.data, RANGE, np.random.default_rng(0))
    for t in range(4):
        after = t > config.data.history
        assert np.array_equal(changed.images[t], sample.images[t]) == after
        assert np.array_equal(changed.lidar2img[t], sample.lidar2img[t]) == after


def test_a_draw_does_not_depend_on_what_else_is_on(batch, config):
    sample = jax.tree.map(lambda x: x[0], batch)
    for flip, color in ((0.5, 0.0), (0.5, 1.0)):
        config.data.update(flip=flip, color=color)
        rng = np.random.default_rng(1)
        changed = augment.augment(jax.tree.map(np.copy, sample), config.data, RANGE, rng)
        assert (changed.frame_to_current[0, 0, 0] == 1) and rng.random() == np.random.default_rng(1).random(9)[8]
        mirrored = not np.array_equal(changed.command, sample.command) or (changed.can_bus != sample.can_bus).any()
        assert mirrored == (np.random.default_rng(1).random() < flip)


def test_colors():
    rng = np.random.default_rng(0)
    images = np.zeros((3, 64, 96, 3), np.uint8)
    images[:, :45, :80] = rng.integers(0, 256, (3, 45, 80, 3))
    np.testing.assert_allclose(augment.color_matrix(1.0, [0.5] * 4), np.eye(3, 4))
    matrix = augment.color_matrix(1.0, [0.9, 0.3, 0.8, 0.2])
    expected = np.clip(images @ matrix[:, :3].T + matrix[:, 3], 0, 255)[:, :45, :80]
    augment.recolor(images, matrix, VALID)
    assert np.abs(images[:, :45, :80] - expected).max() <= 1
    assert not images[:, 45:].any() and not images[:, :, 80:].any()


@pytest.mark.parametrize(
    "lines, message",
    [
        ({"flip": 1.5}, r"data\.flip=1.5: must be a number from 0 to 1"),
        ({"zoom": (1.2, 0.8)}, r"data\.zoom=\(1.2, 0.8\): must be two numbers \(low, high\)"),
        ({"color": 2.0}, r"data\.color=2.0: must be a number from 0 to 1"),
        ({"flip": 0.5}, r"data\.flip=0.5: must be 0 with a teacher.*or set teacher\.enabled=False"),
    ],
)
def test_what_cannot_be_is_named(config, lines, message):
    augment.check(config)
    config.data.update(lines)
    with pytest.raises(UserError, match=message):
        augment.check(config)


def test_a_bev_without_mirror_image_is_named(config):
    """VAD-Tiny rotates about the corner of its grid (quirk Q1)."""
    config.teacher.enabled = False
    config.data.flip = 0.5
    augment.check(config)
    config.student.rotate_center = (10, 10)
    with pytest.raises(
        UserError, match=r"data\.flip=0.5: must be 0 unless .*rotate_center=\(10, 10\), student\.bev_shape=\(24, 12\)"
    ):
        augment.check(config)
