"""The adapter: which BEV tokens belong to which cell, what masking hides, which agents are read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.can_bus_scale import CAN_BUS_SCALE
from dima_jax.teacher.scene_adapter import EgoStatus, SceneAdapter, bev_cells, cell_centers
from dima_jax.teacher.surrogate_heads import draw_mask


@pytest.fixture(scope="module")
def adapter(teacher):
    return weights.bind(*teacher).adapter


def test_cells_by_hand():
    """A BEV of 4 rows and 3 columns in cells of 2 rows: the columns go 0, 0, 1."""
    np.testing.assert_array_equal(bev_cells((4, 3), (2, 2)).reshape(4, 3), [[0, 0, 1], [0, 0, 1], [2, 2, 3], [2, 2, 3]])


def test_centers_by_hand():
    np.testing.assert_allclose(cell_centers((1, 2)), [[0.25, 0.5], [0.75, 0.5]])


def test_masked_cells_are_hidden_whole(adapter, scene):
    """The gradient to the BEV tokens is zero in masked cells and nowhere else."""
    masked = draw_mask(jax.random.key(2), 4, 16, (0.2, 0.4))
    mix = jnp.asarray(np.random.default_rng(0).normal(size=48), jnp.float32)
    gradient = jax.jit(jax.grad(lambda bev: jnp.sum(adapter.read_bev(bev, masked) @ mix)))(scene.tokens.bev)
    hidden = np.asarray(masked)[:, np.asarray(bev_cells((16, 8), (4, 4)))]
    np.testing.assert_array_equal(np.abs(gradient).max(axis=-1) == 0, hidden)


def test_hidden_agents_are_not_read(adapter, scene):
    read = jax.jit(adapter.read_agents)
    agents, places = scene.tokens.agents, scene.tokens.agent_positions
    visible = jnp.ones(agents.shape[:2], bool).at[0, 3].set(False)
    before = read(agents, places, visible)
    np.testing.assert_array_equal(read(agents.at[:, 3].multiply(-1.0), places, visible)[0], before[0])
    assert float(jnp.abs(read(agents.at[:, 3].multiply(-1.0), places, visible)[1] - before[1]).max()) > 1e-4


def test_a_grid_finer_than_the_bev_is_refused():
    with pytest.raises(ValueError, match="finer"):
        SceneAdapter(
            width=8, llm_width=8, layers=1, heads=1, bev_shape=(2, 2), bev_grid=(4, 2), agent_queries=1, map_queries=1,
            ego_queries=1, ego_status=False, rngs=nnx.Rngs(0),
        )  # fmt: skip


def test_ego_status_is_scaled_and_bounded():
    """Both Linears hand on what they get: each number by its typical size, none beyond 4; the command as it is."""
    status = EgoStatus(21, rngs=nnx.Rngs(0))
    for linear in (status.hidden, status.out):
        linear.kernel[...] = jnp.eye(21)
    can_bus = 2 * jnp.asarray(CAN_BUS_SCALE)[None].at[0, 17].set(300.0)
    expected = [*[2.0] * 17, 4.0, 0.0, 1.0, 0.0]
    np.testing.assert_allclose(status(can_bus, jnp.array([[0.0, 1.0, 0.0]]))[0], expected, rtol=1e-6)


def test_the_ego_token_carries_the_status_where_asked(scene):
    def small(ego_status):
        sizes = dict(width=32, llm_width=8, layers=1, heads=1, bev_shape=(2, 2), bev_grid=(1, 1))
        queries = dict(agent_queries=1, map_queries=1, ego_queries=2)
        return SceneAdapter(**sizes, **queries, ego_status=ego_status, rngs=nnx.Rngs(0))

    tokens = scene.tokens.replace(
        ego=jnp.ones((4, 1, 32)), can_bus=jnp.ones((4, 18)), command=jnp.eye(3)[jnp.array([0, 0, 1, 2])]
    )
    without, read = small(False).read_ego(tokens), small(True).read_ego(tokens)
    assert not np.ptp(without, axis=0).any()
    np.testing.assert_array_equal(read[0], read[1])
    assert np.ptp(read[1:], axis=0).max() > 1e-3
    faster = tokens.replace(can_bus=tokens.can_bus.at[0, 13].set(9.0))
    assert np.abs(small(True).read_ego(faster)[0] - read[0]).max() > 1e-4
    with pytest.raises(ValueError, match="can_bus and command"):
        small(True).read_ego(scene.tokens)
