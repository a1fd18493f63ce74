"""VAD's weights in both directions, and every way in which a checkpoint can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from dima_jax import checkpoints
from dima_jax.convert import rules, torch_vad, vad_command
from dima_jax.errors import UserError
from tests import torch_writer
from tests.golden.recipe_student import BASE, TINY, abstract, vad_config, vad_weights
from tests.mini import mini_config

NAMES = json.loads((Path(__file__).parent / "vad_names.json").read_text())  # {"tiny" | "base": {key: shape}}


@pytest.fixture(scope="module")
def config():
    config = mini_config()
    config.student.update(out_stages=(0, 1), extra_levels=1)
    return config


@pytest.fixture(scope="module")
def shapes(config):
    return abstract(config)[1]


@pytest.fixture
def state_dict(config):
    return vad_weights(config, seed=1)


@pytest.mark.parametrize(("name", "sizes"), [("tiny", TINY), ("base", BASE)])
def test_names_and_shapes_are_those_of_vad(name, sizes):
    ours = {
        path: np.broadcast_to(np.float32(0), shape.shape) for path, shape in abstract(vad_config(**sizes))[1].items()
    }
    found = {key: list(array.shape) for key, array in torch_vad.to_torch(ours).items()}
    assert found == NAMES[name]


def test_there_and_back_bit_for_bit(state_dict, shapes):
    weights, report = torch_vad.from_torch(state_dict, shapes)
    assert {path: array.shape for path, array in weights.items()} == {path: s.shape for path, s in shapes.items()}
    assert set(report.used) | set(report.ignored) == set(state_dict)
    back = torch_vad.to_torch(weights)
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
    weights, _ = torch_vad.from_torch(state_dict, shapes)
    packed = state_dict["pts_bbox_head.ego_map_decoder.layers.0.attentions.0.attn.in_proj_weight"]
    for name, part in zip("qkv", np.split(packed, 3), strict=True):
        np.testing.assert_array_equal(weights[f"planner/ego_map/attn/{name}/kernel"], part.T)


def test_two_keys_for_one_weight_are_refused():
    table = [rules.Rule("a", ("x",)), rules.Rule("b", ("x",))]
    arrays = {"a": np.zeros(2), "b": np.zeros(2)}
    with pytest.raises(UserError, match="second time"):
        rules.to_ours(table, (), arrays, {"x": np.zeros(2)})


def test_a_checkpoint_file_becomes_a_run(config, state_dict, shapes, tmp_path):
    file = torch_writer.write(tmp_path / "vad.pth", {"meta": {"epoch": 60}, "state_dict": state_dict})
    report = vad_command.convert_vad(file, tmp_path / "run", config.copy_and_resolve_references(), released=True)
    assert set(report.used) | set(report.ignored) == set(state_dict)
    assert len((tmp_path / "run" / "report.txt").read_text().splitlines()) == len(state_dict)
    saved, params, meta = checkpoints.load_student(tmp_path / "run")
    expected, _ = torch_vad.from_torch(state_dict, shapes)
    assert params.keys() == {f"student/{path}" for path in expected}
    for path, array in expected.items():
        np.testing.assert_array_equal(params[f"student/{path}"], array, err_msg=path)
    assert meta["normalization"] == {"color_order": "bgr", "mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0]}
    assert saved.data.color_order == "bgr"
    with pytest.raises(UserError, match=r"data\.color_order was 'bgr', is 'rgb'"):
        checkpoints.check_model(meta["config"], config, "run", checkpoints.STUDENT_KEYS)


def test_a_torchvision_backbone_is_imported_without_its_classifier(config, state_dict, tmp_path):
    prefix = "img_backbone."
    backbone = {key.removeprefix(prefix): array for key, array in state_dict.items() if key.startswith(prefix)}
    backbone |= {"fc.weight": np.zeros((1000, 2048), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    file = torch_writer.write(tmp_path / "resnet.pth", backbone)
    report = vad_command.convert_resnet(file, tmp_path / "resnet", config)
    assert {"fc.weight", "fc.bias"} < set(report.ignored)
    params = checkpoints.load_weights(tmp_path / "resnet")
    assert all(path.startswith(("student/image_encoder/stem/", "student/image_encoder/stages/")) for path in params)
    np.testing.assert_array_equal(
        params["student/image_encoder/stem/conv/kernel"], backbone["conv1.weight"].transpose(2, 3, 1, 0)
    )
    del backbone["layer1.0.conv1.weight"]
    with pytest.raises(UserError, match=r"layer1\.0\.conv1\.weight"):
        vad_command.convert_resnet(torch_writer.write(file, backbone), tmp_path / "again", config)
