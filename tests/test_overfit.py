"""One batch can be learned by heart: the student's plan and what it sees follow the loss down."""

import jax
import pytest

from dima_jax import optimizer, sharding
from dima_jax.data import loader
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import init_train_state, make_train_step
from tests import tiny_root
from tests.mini import mini_config

STEPS = 400


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(tmp_path):
    config = mini_config(tiny_root.write_records(tiny_root.make(tmp_path / "root"), tmp_path / "records"))
    config.teacher.enabled = False
    config.data.future = 0
    config.optim.update(learning_rate=3e-3, warmup_steps=20)
    config.train.epochs = 1
    model, optim = ShardedModel(config), optimizer.build(config, steps_per_epoch=STEPS)
    state, frozen = init_train_state(model, optim)
    batch = sharding.place_batch(model.mesh, next(loader.train_batches(config, 0)))
    step = make_train_step(model, optim)
    logs = []
    for _ in range(STEPS):
        state, log = step(state, frozen, batch, jax.random.key(0))
        logs.append(log)
    first, last = jax.device_get((logs[0], logs[-1]))
    assert first["loss/plan_imitation"] > 0.1
    assert last["loss/plan_imitation"] < 0.02
    for term in ("agent_class", "agent_box", "map_class", "map_points"):
        assert last[f"loss/{term}"] < 0.5 * first[f"loss/{term}"], term
