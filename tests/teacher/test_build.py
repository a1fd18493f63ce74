"""The teacher of a config: sizes, mesh rules and groups of the real one, and a base that is not initialized."""

import jax
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.configs import base
from dima_jax.teacher.build import abstract_llm, build_teacher
from dima_jax.teacher.llama import Llama


def test_full_size_teacher_by_shape():
    """LLaVA-v1.5-7B's language model: 6,738,415,616 weights, 40 million of LoRA; each has a mesh rule and a group."""
    config = base.get_config()
    build = lambda: build_teacher(config, nnx.Rngs(0))  # noqa: E731
    params = {f"teacher/{path}": value for path, value in weights.split(nnx.eval_shape(build))[1].items()}
    assert weights.count(weights.with_prefix(params, "teacher/llm/")) == 6_738_415_616
    assert weights.count(weights.with_prefix(params, "teacher/lora/")) == 39_976_960
    assert {str(v.dtype) for p, v in params.items() if p.startswith("teacher/llm/") and "scale" not in p} == {
        "bfloat16"
    }
    assert {str(v.dtype) for p, v in params.items() if not p.startswith("teacher/llm/")} == {"float32"}
    rules = weights.match(config.mesh.rules, params)
    large = {path for path, value in params.items() if np.prod(value.shape) > 1e8}
    assert large and all("fsdp" in rules[path] for path in large)
    groups = weights.match(config.optim.groups, params)
    assert {path for path, value in groups.items() if value == 0.0} == set(weights.with_prefix(params, "teacher/llm/"))


@pytest.mark.parametrize("tied", [False, True])
def test_an_abstract_llm_takes_the_keys_of_an_initialized_one(tiny_config, tied):
    """What is initialized after it does not depend on whether the base is loaded from a file."""
    sizes = tiny_config.teacher.llm.copy_and_resolve_references()
    sizes.tied = tied
    rngs = [nnx.Rngs(0), nnx.Rngs(0)]
    abstract = weights.split(abstract_llm(sizes, rngs[0]))[1]
    initialized = weights.split(Llama(**sizes, rngs=rngs[1]))[1]
    assert all(isinstance(value, jax.ShapeDtypeStruct) for value in abstract.values())
    assert {path: value.shape for path, value in abstract.items()} == {
        path: value.shape for path, value in initialized.items()
    }
    assert ("head/table" in abstract) == (not tied)
    keys = [jax.random.key_data(each.params()) for each in rngs]
    np.testing.assert_array_equal(*keys)


def test_an_unknown_part_of_the_scene_is_refused(tiny_config):
    config = tiny_config.copy_and_resolve_references()
    config.teacher.tokens = ("bev", "lanes")
    with pytest.raises(ValueError, match=r"teacher\.tokens: \['lanes'\] are no parts of the scene"):
        nnx.eval_shape(lambda: build_teacher(config, nnx.Rngs(0)))
