"""Tracks of a truth whose drives have a closed form; speeds, accelerations, and what is ahead."""

import numpy as np
import pytest

from data_prep.mining import tracks as made_tracks
from dima_jax.errors import UserError
from dima_jax.scoring.recorded import GROUPS, Truth
from tests.data_prep.mining.made import BARRIER, CAR, PERSON, agent, moving, tracks
from tests.scoring import fake


@pytest.fixture(scope="module")
def truth():
    return fake.fake_truth(scenes=3, frames=8, agents=4)


def test_tracks_are_the_drives(truth):
    scenes = made_tracks.of_truth(truth)
    assert [scene.scene for scene in scenes] == truth.scene_names.tolist()
    for number, scene in enumerate(scenes):
        frames = truth.scene == number
        assert list(scene.tokens) == truth.tokens[frames].tolist() and len(scene) == 8
        np.testing.assert_allclose(scene.time, 0.5 * np.arange(8), atol=1e-3)
        np.testing.assert_allclose(scene.speed, fake.SPEED, rtol=0.02)
        np.testing.assert_array_equal(scene.turning, truth.targeted[frames])
        rear = truth.ego2global[frames][:, :2, 3]
        ahead = 0.985793 + 0.5
        np.testing.assert_allclose(np.linalg.norm(scene.center - rear, axis=1), ahead, atol=1e-6)
        agents = scene.agents
        assert agents.category.tolist() == truth.category[: len(agents.category)].tolist()
        for row, (_, _, _, forward, left, speed) in enumerate(fake.KINDS[: len(agents.category)]):
            x, y, heading = fake.along_road(number, forward + speed * scene.time, left)
            np.testing.assert_allclose(agents.center[row], np.stack([x, y], axis=-1), atol=0.01)
            turned = made_tracks.wrap(agents.yaw[row] - heading)
            assert np.minimum(np.abs(turned), np.pi - np.abs(turned)).max() < 0.01
        assert agents.people.tolist() == [False, False, True, False]
        assert agents.vehicles.tolist() == [True, True, False, True]


def test_what_a_truth_must_hold(truth):
    without = {key: array for key, array in truth.arrays().items() if key not in GROUPS["poses"]}
    with pytest.raises(UserError, match="the truth lacks poses: tracks need poses"):
        made_tracks.of_truth(Truth(truth.header, **without))
    with pytest.raises(UserError, match=r"7 of 8 key frames are there; give whole scenes"):
        made_tracks.of_truth(truth.select(np.arange(1, 24)))


def test_speeds_and_accelerations():
    scene = tracks([2.0, 3.0, 5.0, -1.0], agents=[agent(CAR, moving((9.0, 1.0), [0.0, 1.0, 3.0, 3.0], 90.0), 90.0)])
    np.testing.assert_allclose(scene.speed, [1.5, 2.5, 4.0, 2.0, -4.0])
    np.testing.assert_allclose(scene.acceleration, [np.nan, 2.0, 4.0, -12.0, np.nan])
    np.testing.assert_allclose(scene.traveled, [0.0, 1.0, 2.5, 5.0, 5.5])
    np.testing.assert_allclose(scene.agent_steps, [[0.0, 1.0, 3.0, 3.0]], atol=1e-12)
    np.testing.assert_allclose(scene.agent_acceleration, [[np.nan, 2.0, 4.0, 0.0, np.nan]], atol=1e-12)
    np.testing.assert_allclose(scene.agent_moved, [[0.0, 1.0, 3.0, 3.0, 3.0]], atol=1e-12)


def test_ahead_is_along_the_path_that_is_driven():
    """At first straight on along x, then a turn to the left."""
    places = [(10.0, 1.0), (6.0, -2.0), (-3.0, 0.0), (60.0, 0.0), (np.nan, np.nan)]
    ends_left = tracks([8.0] * 8 + [4.0] * 20, [0.0] * 8 + [9.0] * 10 + [0.0] * 10)
    beyond = ends_left.center[-3] + [-1.0, 0.0]  # the ego drives towards +y: left is -x
    scene = tracks(
        [8.0] * 8 + [4.0] * 20,
        [0.0] * 8 + [9.0] * 10 + [0.0] * 10,
        agents=[
            agent(kind, place)
            for kind, place in zip([CAR, PERSON, BARRIER, CAR, CAR, CAR], [*places, beyond], strict=True)
        ],
    )
    along, left = scene.ahead(0, 100.0)
    np.testing.assert_allclose(along[:2], [10.0, 6.0])
    np.testing.assert_allclose(left[:2], [1.0, -2.0])
    assert np.isnan(along[2:5]).all() and np.isnan(left[2:5]).all()
    np.testing.assert_allclose([along[5], left[5]], [scene.traveled[-3], 1.0], atol=0.1)
    assert np.isnan(scene.ahead(0, 8.0)[0]).tolist() == [True, False, True, True, True, True]
    assert np.isnan(scene.ahead(28, 100.0)[0]).all()  # nothing is driven after the end


def test_wrap():
    np.testing.assert_allclose(made_tracks.wrap(np.array([0.0, 3.5, -3.5])), [0.0, 3.5 - 2 * np.pi, 2 * np.pi - 3.5])
