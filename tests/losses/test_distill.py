"""Every form of distillation by hand, the gate, and the one-way gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.config_kinds import DISTILL_FORMS
from dima_jax.errors import UserError
from dima_jax.losses.distill import Ego, distillation, is_better
from dima_jax.types import EgoTargets


def path(forward, known=6, batch=1):
    """A recorded path of so many meters per step straight ahead, of which the first steps are known."""
    offsets = jnp.zeros((batch, 6, 2)).at[..., 1].set(forward)
    return EgoTargets(offsets, jnp.tile(jnp.arange(6) < known, (batch, 1)), jnp.zeros((batch, 2, 2)))


def ego(feature, forward=0.0):
    """A planner that goes so many meters ahead per step whatever the command, one number a sample."""
    feature = jnp.atleast_2d(jnp.asarray(feature, jnp.float32))
    offsets = jnp.zeros((len(feature), 3, 6, 2))
    return Ego(feature, offsets.at[..., 1].set(jnp.broadcast_to(jnp.asarray(forward), len(feature))[:, None, None]))


def term(teacher, student, form="kl", temperature=1.0, gate=False, target=None):
    batch = len(teacher.feature)
    command = jnp.tile(jnp.array([[0.0, 1.0, 0.0]]), (batch, 1))
    target = path(1.0, batch=batch) if target is None else target
    return distillation(teacher, student, command, target, form=form, temperature=temperature, gate=gate)


def mean(*arguments, **options):
    found = term(*arguments, **options)
    return found.sum / found.count


def test_kl():
    """Teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2."""
    found = mean(ego(jnp.log(jnp.array([3.0, 1.0]))), ego([0.0, 0.0]))
    np.testing.assert_allclose(found, 0.75 * np.log(1.5) + 0.25 * np.log(0.5), rtol=1e-6)


def test_temperature_softens_and_keeps_scale():
    """At temperature 2 the teacher is (sqrt 3, 1) / (sqrt 3 + 1), and the divergence counts four times."""
    found = mean(ego(jnp.log(jnp.array([[3.0, 1.0], [1.0, 3.0]]))), ego(jnp.zeros((2, 2))), temperature=2.0)
    p = np.sqrt(3) / (np.sqrt(3) + 1)
    np.testing.assert_allclose(found, 4 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p))), rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_standardized_kl_compares_shapes(temperature):
    """Two channels are -1 and 1 once they have mean 0 and variance 1, so (5, 9) and (9, 5) are opposite."""
    p = 1 / (1 + np.exp(2 / temperature))
    expected = temperature**2 * (p * np.log(p / (1 - p)) + (1 - p) * np.log((1 - p) / p))
    options = dict(form="kl_standardized", temperature=temperature)
    np.testing.assert_allclose(mean(ego([9.0, 5.0]), ego([5.0, 9.0]), **options), expected, rtol=1e-4)
    np.testing.assert_allclose(mean(ego([5.0, 9.0]), ego([-3.0, 7.0]), **options), 0.0, atol=1e-6)


def test_feature_l2_compares_layer_normed_features():
    """(5, 9) and (9, 5) are (-1, 1) and (1, -1): 2^2 in each channel."""
    np.testing.assert_allclose(mean(ego([9.0, 5.0]), ego([5.0, 9.0]), form="feature_l2"), 4.0, rtol=1e-4)
    np.testing.assert_allclose(mean(ego([5.0, 9.0]), ego([10.0, 20.0]), form="feature_l2"), 0.0, atol=1e-6)


def test_shared_head_compares_features_as_they_are():
    found = mean(ego([[9.0, 5.0], [1.0, 1.0]]), ego([[5.0, 8.0], [1.0, 1.0]]), form="shared_head")
    np.testing.assert_allclose(found, ((16 + 9) / 2 + 0) / 2, rtol=1e-6)


def test_plan_compares_the_commanded_plans():
    """2 m a step ahead against 0.5 m: 1.5 m in y and 0 in x; what is not commanded does not count."""
    teacher, student = ego([0.0, 0.0], 2.0), ego([0.0, 0.0], 0.5)
    teacher = teacher._replace(offsets=teacher.offsets.at[:, 0].set(99.0))
    np.testing.assert_allclose(mean(teacher, student, form="plan"), 0.75, rtol=1e-6)


def test_another_form_is_refused():
    with pytest.raises(UserError, match=r'distill\.form=.mse.: must be "kl" or'):
        term(ego([0.0, 1.0]), ego([0.0, 1.0]), form="mse")


@pytest.mark.parametrize("form", DISTILL_FORMS)
def test_gradient_reaches_the_student_only(form):
    def loss(teacher, student):
        return term(teacher, student, form=form, gate=True).sum

    teacher, student = ego([0.5, -1.0, 2.0], 1.1), ego([0.0, 1.0, 0.1], 2.0)
    to_teacher, to_student = jax.grad(loss, argnums=(0, 1))(teacher, student)
    assert not any(np.asarray(x).any() for x in to_teacher)
    assert np.asarray(to_student.offsets).any() == (form == "plan")
    assert np.asarray(to_student.feature).any() == (form != "plan")
    if form == "kl":
        expected = jax.nn.softmax(student.feature) - jax.nn.softmax(teacher.feature)
        np.testing.assert_allclose(to_student.feature, expected, atol=1e-6)


@pytest.mark.parametrize("form", DISTILL_FORMS)
def test_equal_planners_cost_nothing(form):
    """Also where no channel is on, as after a ReLU."""
    same = ego(jnp.array([[5.0, -3.0, 0.0], [0.0, 0.0, 0.0]], jnp.bfloat16), 1.0)
    value, gradient = jax.value_and_grad(lambda student: term(same, student, form=form).sum)(same)
    assert float(value) == 0.0 and all(np.isfinite(np.asarray(x, np.float32)).all() for x in gradient)


def test_the_gate_leaves_samples_of_a_better_teacher():
    """The path goes 1 m a step. Teachers 1.5, 1.5 and 3 m, students 2, 1.2 and 2 m: only the first teacher is better."""
    teacher, student = ego([[1.0, 0.0]] * 3, [1.5, 1.5, 3.0]), ego([[0.0, 1.0]] * 3, [2.0, 1.2, 2.0])
    target = path(1.0, batch=3)
    command = jnp.tile(jnp.array([[0.0, 1.0, 0.0]]), (3, 1))
    assert is_better(teacher.offsets, student.offsets, command, target).tolist() == [True, False, False]
    open_term, gated = (term(teacher, student, "shared_head", gate=gate, target=target) for gate in (False, True))
    assert (float(open_term.sum), float(open_term.count)) == (3.0, 3.0)
    assert (float(gated.sum), float(gated.count)) == (1.0, 3.0)


def test_the_gate_judges_by_positions_of_known_steps():
    """A detour that is made good by the next step is an error of one step, not of two; unknown steps do not count."""
    straight, detour = ego([1.0, 0.0], 1.2), ego([0.0, 1.0], 1.0)
    detour = detour._replace(offsets=detour.offsets.at[..., 0, 1].add(1.3).at[..., 1, 1].add(-1.3))
    command = jnp.array([[0.0, 1.0, 0.0]])

    def detour_is_better(known):
        return is_better(detour.offsets, straight.offsets, command, path(1.0, known)).tolist()

    # Distances: straight 0.2, 0.4, 0.6, ... m; detour 1.3, 0, 0, ... m.
    assert [detour_is_better(known) for known in (0, 1, 3, 4)] == [[False], [False], [False], [True]]
