"""The matcher against scipy, on costs like those of training and on the awkward ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from dima_jax import sharding
from dima_jax.losses import matching

match = jax.jit(matching.match)


def crowded_costs(rng, rows, columns):
    """Boxes that all want the same few queries, so that long augmenting paths are needed."""
    targets, queries = rng.normal(size=(rows, 3)), rng.normal(size=(columns, 3)) * np.array([0.1, 3.0, 3.0])
    return np.linalg.norm(targets[:, None] - queries[None], axis=-1).astype(np.float32)


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 7), (7, 7), (32, 48), (40, 100)])
def test_equals_scipy(rows, columns):
    rng = np.random.default_rng(rows)
    cost = np.stack([crowded_costs(rng, rows, columns) for _ in range(16)])
    mask = rng.random((16, rows)) < np.linspace(0, 1, 16)[:, None]
    ours = np.asarray(match(cost, mask))
    for c, m, columns_of in zip(cost, mask, ours, strict=True):
        assert (columns_of[~m] == -1).all()
        np.testing.assert_array_equal(columns_of[m], linear_sum_assignment(c[m])[1])


def test_ties_and_signs_still_reach_the_optimal_cost():
    rng = np.random.default_rng(0)
    cost = rng.integers(-3, 4, (32, 12, 20)).astype(np.float32)
    ours = np.asarray(match(cost, np.ones((32, 12), bool)))
    for c, columns_of in zip(cost, ours, strict=True):
        assert len(set(columns_of)) == 12
        assert c[np.arange(12), columns_of].sum() == c[linear_sum_assignment(c)].sum()


def test_no_targets():
    assert (np.asarray(match(jnp.ones((2, 3, 5)), jnp.zeros((2, 3), bool))) == -1).all()
    assert matching.match(jnp.ones((2, 0, 5)), jnp.zeros((2, 0), bool)).shape == (2, 0)


def test_a_diverged_run_ends():
    cost = jnp.full((3, 4), jnp.nan).at[0, 2].set(-1.0).at[1, 0].set(jnp.inf)
    ours = np.asarray(match(cost, jnp.ones(3, bool)))
    assert ours[0] == 2 and len(set(ours)) == 3


def test_more_targets_than_queries_is_refused():
    with pytest.raises(ValueError, match="at least as many queries"):
        matching.match(jnp.ones((3, 2)), jnp.ones(3, bool))


def test_target_of_query_and_gather_invert_the_match():
    query = jnp.array([[3, -1, 0], [1, 2, -1]])
    np.testing.assert_array_equal(matching.target_of_query(query, 4), [[2, -1, -1, 0], [-1, 0, 1, -1]])
    values = jnp.arange(2 * 4 * 2).reshape(2, 4, 2)
    taken = matching.gather_queries(values, query)
    np.testing.assert_array_equal(taken[0, 0], values[0, 3])
    np.testing.assert_array_equal(taken[1, 1], values[1, 2])


def test_a_batch_sharded_over_devices_gives_the_same_match():
    rng = np.random.default_rng(1)
    cost = np.stack([crowded_costs(rng, 6, 9) for _ in range(16)]).reshape(2, 8, 6, 9)
    mask = rng.random((8, 6)) < 0.7
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]), ("data",))
    over_batch = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "data"))
    placed = (
        jax.device_put(cost, over_batch),
        jax.device_put(mask, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))),
    )
    np.testing.assert_array_equal(match(*placed), match(cost, mask))


def test_a_mesh_changes_nothing_wherever_the_batch_stands():
    """Two decoder layers of a batch of four, on two devices."""
    rng = np.random.default_rng(0)
    cost = np.stack([crowded_costs(rng, 6, 9) for _ in range(8)]).reshape(2, 4, 6, 9)
    mask = rng.random((4, 6)) < 0.7
    mesh = sharding.make_mesh(1, 2, 1)
    split = jax.device_put(cost, jax.NamedSharding(mesh, jax.P(None, ("data", "fsdp"))))
    ours = jax.jit(sharding.on_mesh(matching.match, mesh))(split, sharding.place_batch(mesh, mask))
    np.testing.assert_array_equal(ours, match(cost, mask))
    assert ours.sharding.shard_shape(ours.shape) == (2, 2, 6)
