"""PyTorch checkpoints as folders that the other commands take."""

import numpy as np
import pytest

from dima_jax import checkpoints
from dima_jax.convert import torch_vad, vad_command
from dima_jax.errors import UserError
from tests import torch_writer


def test_a_checkpoint_file_becomes_a_run(config, state_dict, shapes, tmp_path):
    file = torch_writer.write(tmp_path / "vad.pth", {"meta": {"epoch": 60}, "state_dict": state_dict})
    assignments = vad_command.convert_vad(file, tmp_path / "run", config.copy_and_resolve_references(), released=True)
    assert set(assignments.used) | set(assignments.ignored) == set(state_dict)
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
    assignments = vad_command.convert_resnet(file, tmp_path / "resnet", config)
    assert {"fc.weight", "fc.bias"} < set(assignments.ignored)
    params = checkpoints.load_weights(tmp_path / "resnet")
    assert all(path.startswith(("student/image_encoder/stem/", "student/image_encoder/stages/")) for path in params)
    np.testing.assert_array_equal(
        params["student/image_encoder/stem/conv/kernel"], backbone["conv1.weight"].transpose(2, 3, 1, 0)
    )
    del backbone["layer1.0.conv1.weight"]
    with pytest.raises(UserError, match=r"layer1\.0\.conv1\.weight"):
        vad_command.convert_resnet(torch_writer.write(file, backbone), tmp_path / "again", config)


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("module.encoder_q.", ("module.encoder_k.conv1.weight", "module.queue", "module.encoder_q.fc.0.weight")),
        ("module.base_encoder.", ("module.momentum_encoder.conv1.weight", "module.predictor.0.weight")),
        ("backbone.", ("neck.lateral_convs.0.conv.weight", "bbox_head.fc_cls.weight", "backbone.fc.weight")),
    ],
)
def test_a_backbone_inside_a_larger_checkpoint(config, state_dict, tmp_path, prefix, beside):
    own = "img_backbone."
    backbone = {key.removeprefix(own): array for key, array in state_dict.items() if key.startswith(own)}
    named = {f"{prefix}{key}": array for key, array in backbone.items()} | dict.fromkeys(
        beside, np.zeros(2, np.float32)
    )
    file = torch_writer.write(tmp_path / "x.pth", {"state_dict": named, "arch": "resnet50"})
    assignments = vad_command.convert_resnet(file, tmp_path / "resnet", config)
    assert set(assignments.used) | set(assignments.ignored) == {key.removeprefix("module.") for key in named}
    params = checkpoints.load_weights(tmp_path / "resnet")
    np.testing.assert_array_equal(
        params["student/image_encoder/stem/conv/kernel"], backbone["conv1.weight"].transpose(2, 3, 1, 0)
    )


def test_mmcvs_averaged_copies_are_left_or_taken(config, state_dict, shapes, tmp_path):
    key = "pts_bbox_head.ego_query.weight"
    copies = {f"ema_{key.replace('.', '_')}": state_dict[key] + 1}
    file = torch_writer.write(tmp_path / "x.pth", {"state_dict": state_dict | copies})
    for averaged in (False, True):
        out = tmp_path / str(averaged)
        vad_command.convert_vad(file, out, config.copy_and_resolve_references(), released=True, averaged=averaged)
        _, params, _ = checkpoints.load_student(out)
        np.testing.assert_array_equal(params["student/planner/ego_query"], state_dict[key] + averaged)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(config, state_dict, tmp_path, value):
    key = "pts_bbox_head.ego_fut_decoder.0.weight"
    state_dict[key] = state_dict[key].copy()
    state_dict[key].flat[-1] = value
    file = torch_writer.write(tmp_path / "x.pth", state_dict)
    with pytest.raises(UserError, match=rf"x\.pth: key '{key}' holds NaN or infinite"):
        vad_command.convert_vad(file, tmp_path / "run", config.copy_and_resolve_references(), released=True)
    assert not (tmp_path / "run").exists()


def test_another_file_is_no_backbone(config, tmp_path):
    file = torch_writer.write(tmp_path / "x.pth", {"blocks.0.weight": np.zeros(2, np.float32)})
    with pytest.raises(UserError, match=r"x\.pth holds no ResNet: none of 'conv1\.weight'.*'blocks\.0\.weight'"):
        vad_command.convert_resnet(file, tmp_path / "resnet", config)


def test_a_run_is_not_written_over(config, state_dict, tmp_path):
    (tmp_path / "run" / "checkpoints" / "40").mkdir(parents=True)
    for convert in (
        lambda: vad_command.convert_vad("x.pth", tmp_path / "run", config, released=True),
        lambda: vad_command.convert_resnet("x.pth", tmp_path / "run", config),
    ):
        with pytest.raises(UserError, match=r"run holds a run \(step 40\); give another --out"):
            convert()
