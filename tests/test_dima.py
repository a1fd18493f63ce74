"""The whole model by its weights: what stages 1 and 2 hold, and what the teacher adds. What learns: test_train_step.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import dima, weights
from dima_jax.data import fake_batch
from tests.mini import mini_config


@pytest.fixture(scope="module", params=[False, True], ids=["student alone", "with teacher"])
def built(request):
    """(config, model of shapes, its weights by path)."""
    config = mini_config()
    config.teacher.enabled = request.param
    model = nnx.eval_shape(lambda: dima.build(config, 0))
    return config, model, weights.split(model)[1]


def test_the_teacher_is_there_as_the_config_says(built):
    config, model, params = built
    assert (model.teacher is not None) == config.teacher.enabled
    assert {path.split("/")[0] for path in params} == {"student", *["teacher"] * config.teacher.enabled}


def test_the_weights_by_path_make_the_model_again(built):
    """So a checkpoint of either kind can be bound to its structure."""
    _, model, params = built
    graph, _ = weights.split(model)
    again = weights.bind(graph, params)
    assert (again.teacher is None) == (model.teacher is None)
    assert weights.split(again)[1].keys() == params.keys()


def test_a_shared_head_is_one_linear_of_the_student():
    """The student keeps all its weights; the teacher has none of its own there, and plans with the student's."""
    config = mini_config()
    paths = weights.split(nnx.eval_shape(lambda: dima.build(config, 0)))[1].keys()
    config.distill.form = "shared_head"
    graph, abstract = weights.split(nnx.eval_shape(lambda: dima.build(config, 0)))
    assert paths - abstract.keys() == {f"teacher/ego_head/out/{leaf}" for leaf in ("kernel", "bias")}
    assert abstract.keys() < paths and {f"{dima.SHARED_HEAD}{leaf}" for leaf in ("kernel", "bias")} < abstract.keys()
    params = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in abstract.items()}
    params[f"{dima.SHARED_HEAD}bias"] = np.arange(36, dtype=np.float32)
    model, feature = weights.bind(graph, params), jnp.zeros((1, 2 * config.student.width))
    for planner in (model.student.planner, model.teacher.ego_head):
        np.testing.assert_array_equal(planner.plan(feature).reshape(-1), np.arange(36))


def test_distortion_is_of_the_frames_that_it_names():
    """Images of the current frame and of those before it; a frame that is masked is as without any distortion."""
    config = mini_config()
    config.teacher.enabled = False
    config.data.update(history=1, future=0, batch_size=1, photometric=True)
    batch = fake_batch.example(config)
    graph, params = weights.split(dima.build(config, 0))
    model = weights.bind(graph, params)
    bev = jax.jit(lambda batch: model(batch, history=1, key=jax.random.key(0), is_training=False).student.tokens.bev)

    def distorted(*frames):
        mask = np.zeros_like(batch.distortion.mask)
        mask[:, list(frames)] = True
        return bev(batch.replace(distortion=batch.distortion.replace(mask=mask)))

    plain = bev(batch.replace(distortion=None))
    np.testing.assert_allclose(distorted(), plain, atol=1e-5)
    for frames in ((0,), (1,)):
        assert np.abs(distorted(*frames) - plain).max() > 1e-3


def test_frames_that_the_window_does_not_have_are_passed_over():
    """A window whose drive begins one frame before the current one: as if it were the only one before."""
    config = mini_config()
    config.teacher.enabled = False
    config.data.update(history=3, future=0, batch_size=1)
    batch = fake_batch.example(config)
    graph, params = weights.split(dima.build(config, 0))
    model = weights.bind(graph, params)
    bev = jax.jit(
        lambda batch, history: (
            model(batch, history=history, key=jax.random.key(0), is_training=False).student.tokens.bev
        ),
        static_argnums=1,
    )
    late = batch.replace(frame_mask=np.array([[False, False, True, True]]))
    per_frame = ("images", "lidar2img", "can_bus", "frame_mask", "frame_to_current")
    short = batch.replace(**{name: getattr(late, name)[:, 2:] for name in per_frame})
    np.testing.assert_allclose(bev(late, 3), bev(short, 1), atol=1e-5)
    assert np.abs(bev(late, 3) - bev(batch, 3)).max() > 1e-3
