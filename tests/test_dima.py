"""The whole model by its weights: what stages 1 and 2 hold, and what the teacher adds. What learns: test_train_step.py."""

import pytest
from flax import nnx

from dima_jax import dima, weights
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
