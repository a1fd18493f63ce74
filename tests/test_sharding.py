"""Meshes, rules, and the full-size model's weights by their abstract shapes."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from dima_jax import sharding
from dima_jax.errors import UserError
from dima_jax.sharded_model import ShardedModel
from tests.mini import mini_config


def test_mesh_and_batch_cover_the_devices():
    mesh = sharding.make_mesh(2, 2, 2)
    batch = sharding.place_batch(mesh, {"x": np.arange(8.0)})
    assert batch["x"].sharding.spec == PartitionSpec(("data", "fsdp"))
    assert {shard.data.shape for shard in batch["x"].addressable_shards} == {(2,)}
    np.testing.assert_array_equal(batch["x"], np.arange(8.0))


def test_too_few_devices_is_a_clear_error():
    with pytest.raises(UserError, match="needs 64 devices"):
        sharding.make_mesh(8, 8, 1)


def test_rules_place_and_refuse():
    mesh = sharding.make_mesh(1, 4, 2)
    rules = (("big/.*", ("fsdp", "model")), (".*", ()))
    params = {"big/w": jax.ShapeDtypeStruct((8, 6), np.float32), "b": jax.ShapeDtypeStruct((3,), np.float32)}
    placed = sharding.shard_params(mesh, rules, params)
    assert placed["big/w"].shard_shape((8, 6)) == (2, 3) and placed["b"].shard_shape((3,)) == (3,)
    with pytest.raises(UserError, match="big/w"):
        sharding.shard_params(mesh, rules, {"big/w": jax.ShapeDtypeStruct((6, 6), np.float32)})
    with pytest.raises(UserError, match="'b'"):
        sharding.shard_params(mesh, rules[:1], params)


def test_platform_is_that_of_the_mesh_unless_another_runtime_is_traced_for():
    mesh = sharding.make_mesh(1, 1, 1)
    seen = []
    jax.eval_shape(sharding.on_mesh(lambda: seen.append(sharding.platform()), mesh))
    assert seen == ["cpu"]
    with sharding.tracing_for("onnx"):
        jax.eval_shape(sharding.on_mesh(lambda: seen.append(sharding.platform()), mesh))
    assert seen == ["cpu", "onnx"]
    assert sharding.platform() == jax.default_backend()


def test_a_run_of_many_replicas_is_evaluated_on_one_device():
    config = mini_config()
    config.mesh.data = 1000
    assert dict(ShardedModel.for_evaluation(config).mesh.shape) == {"data": 1, "fsdp": 1, "model": 1}
    assert config.mesh.data == 1000
    with pytest.raises(UserError, match="needs 1000 devices"):
        ShardedModel(config)
