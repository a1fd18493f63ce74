"""Nearest neighbors by plain loops, and how many they are."""

import dataclasses

import numpy as np

from dima_jax.scoring import neighbors
from dima_jax.scoring.ego_inputs import Given
from tests.scoring.fake import fake_truth


def made_up(scenes, seed, noise=0.0):
    """A truth whose paths follow from the last step, the command, and noise."""
    rng, truth = np.random.default_rng(seed), fake_truth(scenes=scenes, frames=9, agents=1, seed=seed)
    count = len(truth.tokens)
    history = rng.normal(0, 2, (count, 2, 2)).astype(np.float32)
    command = rng.integers(0, 3, count).astype(np.int8)
    path = history[:, -1:] * np.arange(1, 7)[:, None] + command[:, None, None] + rng.normal(0, noise, (count, 6, 2))
    speed = np.linalg.norm(history[:, 1], axis=-1) * 2
    return dataclasses.replace(
        truth, history=history, command=command, speed=speed.astype(np.float32), path=path.astype(np.float32)
    )


def test_against_plain_loops():
    train, truth, given = made_up(6, 0, noise=1.0), made_up(2, 1), Given()
    found, number = neighbors.plans(truth, train, given)
    known = train.path_mask.all(axis=1)
    like, asked = neighbors.features(train, given)[known], neighbors.features(truth, given)
    mean, deviation = like.mean(axis=0), like.std(axis=0)
    for row, plan in zip(asked, found, strict=True):
        away = [sum(((row - one) / deviation) ** 2) for one in like]
        chosen = sorted(range(len(like)), key=lambda i: away[i])[:number]
        np.testing.assert_allclose(plan, train.path[known][chosen].mean(axis=0, dtype=float), atol=1e-6)
    assert like.shape[1] == 8 and np.isfinite(mean).all()


def test_frames_without_their_six_steps_teach_nothing():
    train, truth = made_up(4, 0), made_up(2, 1)
    far = np.where(train.path_mask.all(axis=1)[:, None, None], train.path, 1e6).astype(np.float32)
    found, _ = neighbors.plans(truth, dataclasses.replace(train, path=far), Given())
    assert np.abs(found).max() < 100


def test_noise_calls_for_more_neighbors():
    truth = made_up(2, 1)
    numbers = [neighbors.plans(truth, made_up(16, 0, noise), Given())[1] for noise in (0.0, 20.0)]
    assert numbers[0] < numbers[1] and set(numbers) <= set(neighbors.NUMBERS)


def test_one_scene_gives_the_nearest():
    truth, train = made_up(2, 1), made_up(6, 0)
    for of in (train.scene == 0, train.scene % 2 == 0):
        assert neighbors.plans(truth, train.select(of), Given())[1] == 1


def test_a_command_that_is_not_told_does_not_count():
    train, truth = made_up(6, 0), made_up(2, 1)
    other = dataclasses.replace(truth, command=(truth.command + 1).astype(np.int8) % 3)
    for told in (True, False):
        one, two = (neighbors.plans(asked, train, Given(command=told))[0] for asked in (truth, other))
        assert np.array_equal(one, two) == (not told)
    assert neighbors.name(4, Given(command=False)) == "nearest neighbors (4; history)"
    assert neighbors.name(4, Given()) == "nearest neighbors (4; history, command)"
