"""Scene editing on a hand-made road: boundaries at x = -5.25 and 5.25, a divider at -1.75, see conftest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import weights
from dima_jax.constants import AGENT_CLASSES, LIDAR_HEIGHT
from dima_jax.data.prompts import EDIT_TEXTS
from dima_jax.teacher import scene_edit

DRAWS = 48


@pytest.fixture(scope="module")
def editor(teacher):
    return weights.bind(*teacher).editor


@pytest.fixture(scope="module")
def edit(editor):
    """jitted (student, ego, command, key) -> Edit of every sample."""
    return jax.jit(
        lambda student, ego, command, key: editor(
            student.tokens, student, command, ego, samples=command.shape[0], key=key
        )
    )


@pytest.fixture(scope="module")
def draws(edit, scene, batch):
    """DRAWS edits of the same scene: Edit with a leading axis, as numpy."""
    drawn = [edit(scene, batch.ego, batch.command, jax.random.key(i)) for i in range(DRAWS // 4)]
    return jax.tree.map(lambda *x: np.concatenate(x), *drawn)


def test_every_sample_is_edited_in_both_ways(draws):
    added = draws.visible[:, -1]
    assert draws.edited.all()
    assert 0.2 < added.mean() < 0.8
    assert 0.2 < draws.in_ego_path[added].mean() < 0.8  # half are asked to be in the path
    assert 0 < draws.in_ego_path[~added].mean() < 1


def test_deletion_removes_exactly_one_vehicle(draws):
    deleted = ~draws.visible[:, -1]
    gone = ~draws.visible[deleted, :-1]
    assert (gone.sum(axis=1) == 1).all()
    assert set(gone.argmax(axis=1)) == {0, 1}  # the cars; never the pedestrian or an unsure query
    kept = draws.vehicles[deleted]
    assert (kept.sum(axis=1) == 1).all() and not (kept[:, :-1] & gone).any()


def test_addition_removes_nobody(draws):
    added = draws.visible[:, -1]
    assert draws.visible[added].all()
    assert (draws.vehicles[added, :3] == [True, True, False]).all()


def test_added_vehicle_is_on_the_road(draws):
    added = draws.visible[:, -1]
    track = _track(draws, added)
    assert (np.abs(track[..., 0]) < 5.25).all()
    assert (np.abs(track[:, 0, 1]) <= 29).all()
    np.testing.assert_allclose(np.abs(track[:, 0, 0] + 1.75) % 3.5, 1.75, atol=1e-4)  # middle of a lane


def test_added_vehicle_is_free_of_agents(draws):
    """No center of an added car comes within half a car's width + length of a predicted one, at any step."""
    added = draws.visible[:, -1]
    track = _track(draws, added)
    lead = np.stack([np.zeros(7), 12.0 + np.arange(7)], axis=-1)
    for other in (lead, np.tile([-3.5, -10.0], (7, 1)), np.tile([6.5, 5.0], (7, 1)), np.zeros((1, 2))):
        apart = np.abs(track[:, : len(other)] - other)
        assert ((apart[..., 0] > 2.0) | (apart[..., 1] > 4.5)).all()


def test_vehicles_on_the_ego_side_of_the_divider_drive_its_way(draws):
    added = draws.visible[:, -1]
    offsets = draws.future_offsets[added, -1]
    same_side = draws.centers[added, -1, 0] > -1.75
    assert (offsets[same_side][..., 1] >= -1e-4).all()
    assert (np.abs(offsets[..., 1]).max(axis=1) > 0.1).any()  # some move
    assert (np.abs(offsets).max(axis=(1, 2)) < 0.1).any()  # some stand


def test_text_and_path_follow_the_rule(draws, batch):
    """Added: within 3 m of the ego's path at the same step. Deleted: the car at (0, 12) is in the path."""
    added = draws.visible[:, -1]
    path = np.tile(np.cumsum(batch.ego.future_offsets, axis=1), (DRAWS // 4, 1, 1))
    near = np.linalg.norm(_track(draws, slice(None))[:, 1:] - path, axis=-1).min(axis=1) < 3.0
    lead_deleted = ~draws.visible[:, 0]
    np.testing.assert_array_equal(draws.in_ego_path, np.where(added, near, lead_deleted))
    for row, is_added, in_ego_path in zip(draws.text_row, added, draws.in_ego_path, strict=True):
        question, answer = EDIT_TEXTS[row]
        assert ("added" in question) == is_added
        assert any(word in answer for word in ("blocks", "free now")) == in_ego_path


def test_added_class_decides_the_text(editor, draws):
    rows = set(draws.text_row[draws.visible[:, -1]])
    assert {row // 2 for row in rows} == {1, 2}  # cars and trucks
    assert all(("truck" in EDIT_TEXTS[row][0]) == (row // 2 == 2) for row in rows)


def test_nothing_to_edit(edit, scene, batch):
    """Without confident agents and lines nothing is edited, and everything is finite."""
    unsure = scene.replace(agent_logits=scene.agent_logits * 0 - 6, map_logits=scene.map_logits * 0 - 6)
    result = edit(unsure, batch.ego, batch.command, jax.random.key(0))
    assert not result.edited.any() and not result.vehicles.any() and not result.in_ego_path.any()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result))
    assert result.visible[:, :-1].all() and not result.visible[:, -1].any()


def test_path_ends_with_the_plan(batch):
    """Where the recording has ended, the commanded plan goes on."""
    ego = batch.ego.replace(
        future_offsets=jnp.tile(jnp.array([0.0, 1.0]), (4, 6, 1)), future_mask=jnp.tile(jnp.arange(6) < 2, (4, 1))
    )
    planned = jnp.zeros((4, 3, 6, 2)).at[:, 2].set(jnp.array([3.0, 0.0]))
    path = scene_edit.ego_path(ego, planned, jnp.tile(jnp.array([0.0, 0.0, 1.0]), (4, 1)))
    np.testing.assert_allclose(path[0, [0, 2, 6]], [(0, 0), (0, 2), (12, 2)])


def test_agents_in_the_path_by_hand():
    """A path of 6 m forward: 2 m to either side, and straight on for 12 m beyond its end."""
    is_in_path = jax.jit(scene_edit.is_in_path)
    path = jnp.stack([jnp.zeros(7), jnp.arange(7.0)], axis=1)
    centers = jnp.array([[1.9, 3.0], [2.1, 3.0], [0.0, 17.0], [0.0, 20.1], [0.0, -2.5]])
    np.testing.assert_array_equal(is_in_path(centers, path), [True, False, True, False, False])
    turned = path[:, ::-1]  # the extension follows the path to the right
    np.testing.assert_array_equal(is_in_path(centers[:, ::-1], turned), [True, False, True, False, False])
    standing = jnp.zeros((7, 2))  # then it is straight ahead
    np.testing.assert_array_equal(is_in_path(jnp.array([[0.0, 11.0], [11.0, 0.0]]), standing), [True, False])


def test_feature_of_an_added_vehicle_by_hand():
    """A truck at a corner of pc_range that looks along +y and drives 1 m per step."""
    track = jnp.array([15.0, -30.0]) + jnp.stack([jnp.zeros(7), jnp.arange(7.0)], axis=1)
    choice = scene_edit.EditChoice(
        add=jnp.array(True), deleted=jnp.zeros(3, bool), kind=jnp.array(1), track=track,
        heading=jnp.array(jnp.pi / 2), in_ego_path=jnp.array(False),
    )  # fmt: skip
    feature = np.asarray(scene_edit.added_feature(choice, (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)))
    np.testing.assert_array_equal(feature[:10], np.eye(10)[AGENT_CLASSES.index("truck")])
    width, length, height = scene_edit.ADDED_SIZES[1]
    box = [1.0, -1.0, np.log(width), np.log(length), height / 2 - LIDAR_HEIGHT, np.log(height), 0.0, -1.0, 0.0, 2.0]
    np.testing.assert_allclose(feature[10:20], box, atol=1e-5)
    np.testing.assert_allclose(feature[20:].reshape(6, 2), np.tile([0.0, 1.0], (6, 1)), atol=1e-6)


def _track(draws, rows):
    """Positions of the added vehicle, now and at each step [n, 7, 2]."""
    start = draws.centers[rows, -1][:, None]
    return np.concatenate([start, start + np.cumsum(draws.future_offsets[rows, -1], axis=1)], axis=1)
