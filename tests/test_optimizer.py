"""Learning rate by hand-computed points, freezing and group multipliers by path."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dima_jax import optimizer
from dima_jax.configs import base
from dima_jax.errors import UserError

SCHEDULE = optimizer.learning_rate(
    base=2e-4,
    warmup_steps=500,
    warmup_from=1 / 3,
    final_scale=1e-3,
    steps_per_epoch=1000,
    epochs=60,
    cosine_per="epoch",
)
GROUPS = (("frozen/.*", 0.0), ("slow/.*", 0.1), (".*", 1.0))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 2e-4 / 3),
        (250, 2e-4 * (1 / 3 + 1 / 3)),
        (999, 2e-4),  # still epoch 0: the cosine moves once per epoch
        (30_000, 2e-4 * (1e-3 + 0.999 * 0.5)),
        (59_999, 2e-4 * (1e-3 + 0.999 * 0.5 * (1 + math.cos(math.pi * 59 / 60)))),
    ],
)
def test_learning_rate(step, expected):
    assert float(SCHEDULE(step)) == pytest.approx(expected, rel=1e-4)


def test_split_frozen_takes_every_weight_once():
    params = {"frozen/a": jnp.ones(2), "slow/b": jnp.ones(3), "c": jnp.ones(4)}
    trainable, frozen = optimizer.split_frozen(params, GROUPS)
    assert set(trainable) == {"slow/b", "c"} and set(frozen) == {"frozen/a"}
    with pytest.raises(UserError, match="'c'"):
        optimizer.split_frozen(params, GROUPS[:2])


def test_first_update_is_adamw_times_the_group():
    """Adam's first step is the sign of the gradient; decay adds weight_decay * weight; the group scales both."""
    params = {"slow/b": jnp.array([2.0]), "c": jnp.array([-2.0])}
    transform = optimizer.adamw(lambda _: 1e-2, GROUPS, weight_decay=0.01, clip_norm=35.0, accumulate=1)
    gradients = {"slow/b": jnp.array([3.0]), "c": jnp.array([-4.0])}
    updates, _ = transform.update(gradients, transform.init(params), params)
    np.testing.assert_allclose(updates["slow/b"], -0.1 * 1e-2 * (1 + 0.02), rtol=1e-5)
    np.testing.assert_allclose(updates["c"], -1e-2 * (-1 - 0.02), rtol=1e-5)


def test_clip_is_by_the_global_norm():
    params = {"a": jnp.array([0.0]), "b": jnp.array([0.0])}
    transform = optimizer.adamw(lambda _: 1.0, ((".*", 1.0),), weight_decay=0.0, clip_norm=1.0, accumulate=1)
    state = transform.init(params)
    _, state = transform.update({"a": jnp.array([30.0]), "b": jnp.array([40.0])}, state, params)
    mean = optax.tree.get(state, "mu")
    np.testing.assert_allclose([mean["a"][0], mean["b"][0]], [0.1 * 30 / 50, 0.1 * 40 / 50], rtol=1e-6)
    small = {"a": jnp.array([0.3]), "b": jnp.array([0.4])}
    np.testing.assert_array_equal(optimizer.clip(small, 1.0)["b"], small["b"])


def test_accumulated_steps_make_one_update_of_the_mean_gradient():
    params = {"c": jnp.array([1.0, -1.0])}
    options = dict(weight_decay=0.01, clip_norm=1.0)
    several = optimizer.adamw(lambda _: 1e-2, ((".*", 1.0),), accumulate=3, **options)
    once = optimizer.adamw(lambda _: 1e-2, ((".*", 1.0),), accumulate=1, **options)
    gradients = [{"c": jnp.array([x, -2.0 * x])} for x in (1.0, 5.0, -3.0)]
    state = several.init(params)
    for gradient in gradients[:2]:
        updates, state = several.update(gradient, state, params)
        assert not updates["c"].any()
    updates, _ = several.update(gradients[2], state, params)
    expected, _ = once.update({"c": jnp.array([1.0, -2.0])}, once.init(params), params)
    np.testing.assert_allclose(updates["c"], expected["c"], rtol=1e-5)


def test_max_steps_ends_a_run_and_its_cosine():
    config = base.get_config()
    config.optim.update(cosine_per="step", warmup_steps=0)
    config.train.update(epochs=3, max_steps=0)
    assert optimizer.num_steps(config, steps_per_epoch=10) == 30
    config.train.max_steps = 5
    assert optimizer.num_steps(config, steps_per_epoch=10) == 5
    schedule = optimizer.build(config, steps_per_epoch=10).schedule
    last = config.optim.learning_rate * config.optim.final_scale
    assert float(schedule(5)) == pytest.approx(last)
    config.train.max_steps = 100
    assert optimizer.num_steps(config, steps_per_epoch=10) == 30


def test_cosine_per_step_anneals_a_run_of_one_epoch():
    options = dict(base=1.0, warmup_steps=0, warmup_from=1.0, final_scale=0.0, steps_per_epoch=10, epochs=1)
    per_step = optimizer.learning_rate(**options, cosine_per="step")
    assert [float(per_step(step)) for step in (0, 5, 10, 11)] == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-6)
    per_epoch = optimizer.learning_rate(**options, cosine_per="epoch")
    assert [float(per_epoch(step)) for step in (0, 5, 9)] == pytest.approx([1.0, 1.0, 1.0])
    with pytest.raises(UserError, match=r"optim\.cosine_per=.batch."):
        optimizer.learning_rate(**options, cosine_per="batch")
