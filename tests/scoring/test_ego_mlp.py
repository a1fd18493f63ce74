"""The planner without eyes: it learns what the ego's numbers tell, and it gets nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dima_jax.constants import STEP_SECONDS
from dima_jax.scoring import ego_mlp
from dima_jax.scoring.ego_inputs import Given
from tests.scoring.fake import fake_truth

SPEED, COMMANDS = 13, slice(18, 21)


def made_up(rng, number=600):
    """Straight ahead at the speed, and 1 m per step to the side of the command; gravity and a hidden cause beside."""
    inputs = np.zeros((number, 21), np.float32)
    inputs[:, SPEED], inputs[:, 9] = rng.uniform(0, 12, number), 9.81
    command = rng.integers(3, size=number)
    inputs[:, COMMANDS] = np.eye(3)[command]
    times = np.arange(1, 7)
    ahead = inputs[:, SPEED, None] * STEP_SECONDS * times
    side = np.array([1.0, -1.0, 0.0])[command][:, None] * times
    waypoints = np.stack([side, ahead], axis=-1).astype(np.float32)
    return ego_mlp.Samples(inputs, waypoints, np.ones((number, 6), bool))


def test_it_learns_a_rule_of_speed_and_command(monkeypatch):
    monkeypatch.setattr(ego_mlp, "STEPS", 1000)
    seen = made_up(np.random.default_rng(0))
    seen.mask[::2, 3:] = False
    seen.waypoints[::2, 3:] = 1e3  # what was not recorded must not count
    (fitted,) = ego_mlp.fit(seen, [0])
    new = made_up(np.random.default_rng(1))
    error = np.linalg.norm(fitted(new.inputs) - new.waypoints, axis=-1)
    assert error.mean() < 0.2 and error.mean() < 0.03 * np.linalg.norm(new.waypoints, axis=-1).mean()
    new.inputs[:, 9] += 5.0  # it never varied, so it says nothing
    np.testing.assert_array_equal(np.linalg.norm(fitted(new.inputs) - new.waypoints, axis=-1), error)


def test_a_fit_depends_on_its_seed_alone(monkeypatch):
    monkeypatch.setattr(ego_mlp, "STEPS", 20)
    samples, inputs = made_up(np.random.default_rng(0), 50), made_up(np.random.default_rng(1), 5).inputs
    (alone,), (first, other) = ego_mlp.fit(samples, [0]), ego_mlp.fit(samples, [0, 1])
    np.testing.assert_allclose(alone(inputs), first(inputs), rtol=1e-6)
    assert np.abs(first(inputs) - other(inputs)).max() > 0.004


def by_optax(fit, samples, batches):
    """The layers after AdamW with a cosine schedule on gradients that JAX derives."""
    layers = [tuple(map(jnp.asarray, layer)) for layer in fit.layers]
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(ego_mlp.LEARNING_RATE, len(batches)), weight_decay=ego_mlp.WEIGHT_DECAY
    )
    state = optimizer.init(layers)

    def loss(layers, inputs, waypoints, mask):
        x = jnp.clip((inputs - fit.mean) * fit.factor, -ego_mlp.CLIP, ego_mlp.CLIP)
        for kernel, bias in layers[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        plan = (x @ layers[-1][0] + layers[-1][1]).reshape(-1, 6, 2) * fit.scale + fit.offset
        error = jnp.sqrt(jnp.sum((plan - waypoints) ** 2, axis=-1) + ego_mlp.NEAR**2)
        return jnp.sum(error * mask) / jnp.maximum(jnp.sum(mask), 1)

    for chosen in batches:
        slope = jax.grad(loss)(layers, *(field[chosen] for field in samples))
        change, state = optimizer.update(slope, state, layers)
        layers = optax.apply_updates(layers, change)
    return layers


def test_its_steps_are_those_of_optax(monkeypatch):
    """Gradients, AdamW and schedule by hand against JAX and optax, from the very same start, masks included."""
    samples, rng = made_up(np.random.default_rng(0), 300), np.random.default_rng(7)
    samples = samples._replace(mask=rng.random(samples.mask.shape) < 0.7)
    monkeypatch.setattr(ego_mlp, "STEPS", 0)
    (start,) = ego_mlp.fit(samples, [7])
    monkeypatch.setattr(ego_mlp, "STEPS", 3)
    (found,) = ego_mlp.fit(samples, [7])
    rng_of_fit = np.random.default_rng(7)  # draws the kernels first
    for kernel, _ in start.layers:
        np.testing.assert_allclose(rng_of_fit.normal(size=kernel.shape, scale=np.sqrt(2 / len(kernel))), kernel, 1e-5)
    batches = rng_of_fit.integers(300, size=(3, ego_mlp.BATCH))
    for ours, theirs in zip(found.layers, by_optax(start, samples, batches), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)
    assert np.abs(found.layers[0][0] - start.layers[0][0]).max() > 0.004


def test_it_plans_for_each_frame_with_each_seed(monkeypatch):
    monkeypatch.setattr(ego_mlp, "STEPS", 20)
    truth, train = fake_truth(scenes=2, frames=9, agents=1), fake_truth(scenes=4, frames=9, agents=1, seed=1)
    plans = ego_mlp.plans(truth, train, Given("speed"))
    assert len(plans) == ego_mlp.SEEDS and all(plan.shape == (18, 6, 2) for plan in plans)
    assert np.isfinite(plans).all() and np.abs(plans[0] - plans[1]).max() > 0
    some = ego_mlp.plans(truth.select(truth.frame_index % 2 == 0), train, Given("speed"))[0]
    assert np.isfinite(some[:, 0, 0]).tolist() == [True, *[False] * 4] * 2
    unknown = dataclasses.replace(train, path_mask=np.zeros_like(train.path_mask))
    assert np.isfinite(ego_mlp.plans(truth, unknown, Given())).all()  # of nothing it learns nothing, and no NaN
    assert ego_mlp.name(Given("none", False)) == "blind MLP (nothing)"
