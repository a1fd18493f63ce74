"""`benchmarks.gradient_shares` by hand: the norms of two terms, their shares, and the weight for a share."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import gradient_norms, gradient_shares
from dima_jax.types import Term
from tests.mini import mini_config

BEV = jnp.full((2, 32, 32), 0.5)  # of a batch of two


class Inputs(NamedTuple):
    """Stands for a batch."""

    command: jax.Array


class Model:
    """Stands for a bound model: its output is the BEV."""

    def __init__(self):
        self.student = SimpleNamespace(bev_encoder=lambda features: BEV)

    def __call__(self, batch, *, history, key, is_training):
        return self.student.bev_encoder(None)


def test_the_norms_are_those_of_the_means_by_the_bev(monkeypatch):
    """2048 numbers: the mean of 3 bev has the gradient 3 / 2048, half the sum of squares has that of 0.5 everywhere."""

    def terms(bev, batch, config):
        return {
            "language": Term(3.0 * bev.sum(), jnp.float32(2048.0)),
            "distill": Term(jnp.square(bev).sum() / 2, jnp.float32(1.0)),
            "future": Term(jnp.square(jax.lax.stop_gradient(bev)).sum(), jnp.float32(1.0)),
        }

    monkeypatch.setattr(gradient_norms.weights, "bind", lambda graph, params: Model())
    monkeypatch.setattr(gradient_norms, "loss_terms", terms)
    model = SimpleNamespace(config=mini_config(), graph=None)
    run = gradient_norms.make_gradient_norms(model)
    found = run({}, Inputs(command=jnp.zeros((2, 3))), jax.random.key(0))
    root = 2048**0.5
    expected = {"language": (1.5, 3 / root), "distill": (256.0, 0.5 * root), "future": (512.0, 0.0)}
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        np.testing.assert_allclose(found[name], row, rtol=1e-5, err_msg=name)


def test_shares_are_of_weighted_norms():
    norms, weights = {"distill": 2.0, "language": 1.0, "future": 0.0}, {"distill": 0.5, "language": 3.0, "future": 9.0}
    assert gradient_shares.shares(norms, weights) == {"language": 0.75, "distill": 0.25, "future": 0.0}
    assert set(gradient_shares.shares({"language": 0.0}, weights).values()) == {None}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_with_the_balanced_weight_the_term_has_its_share(share):
    norms, weights = {"distill": 2.0, "language": 1.0, "future": 4.0}, {"distill": 0.5, "language": 3.0, "future": 0.5}
    weight = gradient_shares.balanced_weight(norms, weights, "distill", share)
    assert gradient_shares.shares(norms, weights | {"distill": weight})["distill"] == pytest.approx(share)


@pytest.mark.parametrize("norms", [{"language": 1.0}, {"language": 1.0, "distill": 0.0}])
def test_a_term_without_gradient_has_no_balanced_weight(norms):
    assert gradient_shares.balanced_weight(norms, {"language": 1.0, "distill": 1.0}, "distill", 0.1) is None
