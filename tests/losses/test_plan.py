"""Planning terms against numbers one can do in the head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.losses import plan
from dima_jax.types import Term
from tests.losses.loss_scene import PC_RANGE, random_output

STEPS = jnp.ones((1, 6), bool)
AHEAD = jnp.zeros((1, 6, 2)).at[..., 1].set(1.0)  # 1 m ahead per step: waypoints (0, 1) ... (0, 6)


def line(x, *, num_points=41):
    """A line along y at x meters, a point every 0.5 m from -10 m to 10 m: [1, 1, P, 2]."""
    y = jnp.linspace(-10, 10, num_points)
    return jnp.stack([jnp.full_like(y, x), y], -1)[None, None]


ONE = jnp.ones((1, 1), bool)
imitation, boundary, collision, direction = map(
    jax.jit, (plan.imitation, plan.boundary, plan.collision, plan.direction)
)
surroundings = jax.jit(lambda output: plan.surroundings(output, PC_RANGE))


@jax.jit
@jax.value_and_grad
def total(output):
    """Loss of a plan among the output's own map and agents; the recorded path goes straight ahead."""
    command = jnp.array([[0.0, 0.0, 1.0]])
    terms = plan.plan_terms(output.ego_offsets, command, AHEAD, STEPS, plan.surroundings(output, PC_RANGE))
    assert set(terms) == {"imitation", "boundary", "collision", "direction"}
    return sum(term.sum / term.count for term in terms.values())


def mean(term):
    """Of a term, or of the values of every sample and step."""
    return float(term.sum / term.count if isinstance(term, Term) else term.mean())


def test_imitation_counts_all_commands():
    offsets = jnp.stack([AHEAD + 7, AHEAD + 0.5, AHEAD], axis=1)
    left = jnp.array([[0.0, 1.0, 0.0]])
    assert mean(imitation(offsets, left, AHEAD, STEPS)) == pytest.approx(0.5 / 3)
    half = STEPS.at[:, 3:].set(False)
    assert mean(imitation(offsets, left, AHEAD, half)) == pytest.approx(0.5 / 6)


def test_boundary_hinge():
    assert mean(boundary(AHEAD, STEPS, line(0.75), ONE)) == pytest.approx(0.25)
    assert mean(boundary(AHEAD, STEPS, line(1.5), ONE)) == 0.0
    assert mean(boundary(AHEAD, STEPS, line(0.75), ~ONE)) == 0.0


def test_boundary_is_silent_once_crossed():
    sideways = jnp.zeros((1, 6, 2)).at[..., 0].set(0.5)  # waypoints x = 0.5 ... 3.0; the line is at 1.2 m
    distances = np.abs(1.2 - 0.5 * np.arange(1, 3))  # crossed on the third move
    assert mean(boundary(sideways, STEPS, line(1.2), ONE)) == pytest.approx((1 - distances).clip(0).sum() / 6)


def test_collision_gaps_are_independent():
    still = jnp.zeros((1, 6, 2))
    beside = jnp.broadcast_to(jnp.array([1.0, 0.25]), (1, 1, 6, 2))
    assert mean(collision(still, STEPS, beside, ONE)) == pytest.approx((0.5 + 2.75) / 2)
    outside = jnp.broadcast_to(jnp.array([2.9, 2.9]), (1, 1, 6, 2))  # within 3 m in x and in y, but 4.1 m away
    assert mean(collision(still, STEPS, outside, ONE)) == 0.0
    both = jnp.concatenate([beside, jnp.broadcast_to(jnp.array([0.2, 2.5]), (1, 1, 6, 2))], axis=1)
    assert mean(collision(still, STEPS, both, jnp.ones((1, 2), bool))) == pytest.approx((1.3 + 2.75) / 2)
    assert mean(collision(still, STEPS, both, jnp.zeros((1, 2), bool))) == 0.0


def test_direction_is_the_angle_to_the_nearest_divider():
    slanted = jnp.zeros((1, 6, 2)).at[..., :].set(jnp.array([0.1, 0.3]))
    angle = np.arctan2(0.1, 0.3)
    assert mean(direction(slanted, STEPS, line(0.0), ONE)) == pytest.approx(angle, rel=1e-5)
    backwards = line(0.0)[:, :, ::-1]  # a divider has no sense of direction
    assert mean(direction(slanted, STEPS, backwards, ONE)) == pytest.approx(angle, rel=1e-5)
    assert mean(direction(slanted, STEPS, line(4.0), ONE)) == 0.0  # too far
    assert mean(direction(slanted * 0.1, STEPS, line(0.0), ONE)) == 0.0  # hardly moves


def test_masked_steps_add_nothing():
    half = STEPS.at[:, 3:].set(False)
    assert mean(boundary(AHEAD, half, line(0.75), ONE)) == pytest.approx(0.125)
    apart = jnp.broadcast_to(jnp.array([1.0, 0.0]), (1, 1, 6, 2)) + jnp.cumsum(AHEAD, axis=1)
    assert mean(collision(AHEAD, half, apart, ONE)) == pytest.approx((0.5 + 3.0) / 4)


def test_surroundings_select_by_score_and_class():
    output = random_output(0, num_agents=3, num_map=3)
    logits = jnp.full((2, 1, 3, 10), -9.0).at[-1, 0, 0, 1].set(3).at[-1, 0, 1, 8].set(3)  # truck, pedestrian, nothing
    lines = jnp.full((2, 1, 3, 3), -9.0).at[-1, 0, 1, 2].set(3).at[-1, 0, 2, 0].set(3)
    modes = output.agent_mode_logits.at[0, 0].set(jnp.arange(6.0) == 4)
    scene = surroundings(output.replace(agent_logits=logits, map_logits=lines, agent_mode_logits=modes))
    assert scene.vehicle_mask.tolist() == [[True, False, False]]
    assert scene.boundary_mask.tolist() == [[False, True, False]]
    assert scene.divider_mask.tolist() == [[False, False, True]]
    end = output.agent_codes[-1, 0, 0, :2] + output.agent_future_offsets[0, 0, 4].sum(0)
    np.testing.assert_allclose(scene.vehicle_waypoints[0, 0, -1], end, rtol=1e-5)


@pytest.mark.parametrize("empty", [True, False])
def test_gradients_are_finite_even_on_top_of_a_point(empty):
    output = random_output(4, num_agents=3, num_map=3)
    scores = {
        name: jnp.full_like(getattr(output, name), -9.0 if empty else 9.0) for name in ("agent_logits", "map_logits")
    }
    points = jnp.full_like(output.map_points, 0.5)  # where the ego stands
    value, gradient = total(output.replace(ego_offsets=output.ego_offsets * 0, map_points=points, **scores))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert not empty or not gradient.map_points.any()


def test_gradient_reaches_perception():
    output = random_output(5, num_agents=3, num_map=3)
    logits = jnp.full_like(output.map_logits, 9.0)
    points = jnp.full_like(output.map_points, 0.51)
    centers = output.agent_codes * 0.1
    cars = jnp.full_like(output.agent_logits, -9.0).at[..., 0].set(9.0)
    output = output.replace(map_logits=logits, map_points=points, agent_codes=centers, agent_logits=cars)
    _, gradient = total(output.replace(ego_offsets=output.ego_offsets * 0.01))
    assert gradient.map_points[-1].any() and gradient.agent_codes[-1].any() and gradient.agent_future_offsets.any()


def test_acting_shares_count_samples_in_which_a_constraint_is_violated():
    near, far = line(0.75), line(5.0)
    scene = plan.Surroundings(
        map_points=jnp.concatenate([near, far]),
        divider_mask=jnp.zeros((2, 1), bool),
        boundary_mask=jnp.ones((2, 1), bool),
        vehicle_waypoints=jnp.full((2, 1, 6, 2), 50.0),
        vehicle_mask=jnp.ones((2, 1), bool),
    )
    offsets = jnp.broadcast_to(AHEAD[:, None], (2, 3, 6, 2))
    command, steps = jnp.tile(jnp.array([[0.0, 0.0, 1.0]]), (2, 1)), jnp.ones((2, 6), bool)
    shares = plan.acting_shares(offsets, command, steps, scene)
    assert {name: float(share) for name, share in shares.items()} == {
        "boundary": 0.5,
        "collision": 0.0,
        "direction": 0.0,
    }
    unsure = plan.acting_shares(offsets, command, steps, scene._replace(boundary_mask=jnp.zeros((2, 1), bool)))
    assert float(unsure["boundary"]) == 0.0


def test_displacement_is_that_of_positions_under_the_command():
    """Recorded 1 m ahead a step; the commanded plan 2 m in the first step alone is 1 m too far from then on, then 2 m."""
    offsets = jnp.zeros((1, 3, 6, 2)).at[:, 1].set(AHEAD).at[:, 1, 0, 1].add(1.0).at[:, 1, 3, 0].add(np.sqrt(3.0))
    found = plan.displacement(offsets, jnp.array([[0.0, 1.0, 0.0]]), AHEAD)
    np.testing.assert_allclose(found, [[1, 1, 1, 2, 2, 2]], rtol=1e-6)
    gradient = jax.grad(lambda x: plan.displacement(x, jnp.array([[0.0, 1.0, 0.0]]), AHEAD).sum())(offsets)
    assert not gradient.any()  # the length of a zero vector has none
