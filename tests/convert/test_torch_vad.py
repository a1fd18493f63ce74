"""VAD's weights in both directions, and every way in which a checkpoint can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from dima_jax.convert import torch_vad
from dima_jax.errors import UserError
from tests.golden.recipe_student import BASE, TINY, abstract, vad_config

NAMES = json.loads((Path(__file__).parent / "vad_names.json").read_text())  # {"tiny" | "base": {key: shape}}


@pytest.mark.parametrize(("name", "sizes"), [("tiny", TINY), ("base", BASE)])
def test_names_and_shapes_are_those_of_vad(name, sizes):
    ours = {
        path: np.broadcast_to(np.float32(0), shape.shape) for path, shape in abstract(vad_config(**sizes))[1].items()
    }
    found = {key: list(array.shape) for key, array in torch_vad.to_torch(ours).items()}
    assert found == NAMES[name]


def test_there_and_back_bit_for_bit(state_dict, shapes):
    params, assignments = torch_vad.from_torch(state_dict, shapes)
    assert {path: array.shape for path, array in params.items()} == {path: s.shape for path, s in shapes.items()}
    assert set(assignments.used) | set(assignments.ignored) == set(state_dict)
    back = torch_vad.to_torch(params)
    assert set(back) == set(state_dict)
    for key, array in state_dict.items():
        assert back[key].dtype == array.dtype, key
        np.testing.assert_array_equal(back[key], array, err_msg=key)


@pytest.mark.parametrize(
    "key",
    [
        "pts_bbox_head.ego_query.weight",
        "pts_bbox_head.code_weights",
        "img_backbone.bn1.num_batches_tracked",
        "pts_bbox_head.transformer.decoder.layers.0.attentions.0.attn.in_proj_weight",
    ],
)
def test_a_missing_key_is_named(state_dict, shapes, key):
    del state_dict[key]
    with pytest.raises(UserError, match=key):
        torch_vad.from_torch(state_dict, shapes)


@pytest.mark.parametrize("key", ["pts_bbox_head.mystery.weight", "pts_bbox_head.reg_branches.7.0.weight"])
def test_an_extra_key_is_named(state_dict, shapes, key):
    state_dict[key] = np.zeros((3, 3), np.float32)
    with pytest.raises(UserError, match=key):
        torch_vad.from_torch(state_dict, shapes)


@pytest.mark.parametrize("shape", [(2, 32), (32,), ()])
def test_a_wrong_shape_is_named(state_dict, shapes, shape):
    key = "pts_bbox_head.ego_query.weight"
    state_dict[key] = np.zeros(shape, np.float32)
    with pytest.raises(UserError, match=key):
        torch_vad.from_torch(state_dict, shapes)


def test_packed_projections_are_split_in_order(state_dict, shapes):
    params, _ = torch_vad.from_torch(state_dict, shapes)
    packed = state_dict["pts_bbox_head.ego_map_decoder.layers.0.attentions.0.attn.in_proj_weight"]
    for name, part in zip("qkv", np.split(packed, 3), strict=True):
        np.testing.assert_array_equal(params[f"planner/ego_map/attn/{name}/kernel"], part.T)
