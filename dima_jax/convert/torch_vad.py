"""The keys of VAD's state dict (hustvl/VAD; docs/vad.md#weights) and of torchvision's ResNet, to the student's paths.

Paths here are those of the `Student` module, without the leading "student/". In the code below `theirs` is the pattern
of a checkpoint's key and `ours` the pattern of a path; {i} stands for an integer, [{i}] for a layer of a stacked weight
(`rules.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dima_jax.convert.rules import (
    CONV,
    LINEAR,
    SAME,
    Assignments,
    MismatchError,
    Rule,
    to_params,
    to_state_dict,
)

CONSTANTS = {  # stored by VAD as weights that never train; ours live in the losses
    "pts_bbox_head.code_weights": np.array([1.0] * 8 + [0.2] * 2, np.float32),
    "pts_bbox_head.map_code_weights": np.ones(4, np.float32),
}
COUNTER = "num_batches_tracked"  # of every batch norm; without meaning for frozen ones
COUNTERS = rf".*\.{COUNTER}"
AVERAGED = r"ema_\w+"  # mmcv's copies of the weights, beside them (`torch_file.read_state_dict` can take them instead)
IGNORED = (r"pts_bbox_head\.(map_)?code_weights", COUNTERS, AVERAGED)


def _weight_and_bias(theirs: str, ours: str, name: str, axes: tuple[int, ...]) -> list[Rule]:
    return [Rule(f"{theirs}.weight", (f"{ours}/{name}",), axes), Rule(f"{theirs}.bias", (f"{ours}/bias",))]


def _linear(theirs: str, ours: str) -> list[Rule]:
    return _weight_and_bias(theirs, ours, "kernel", LINEAR)


def _norm(theirs: str, ours: str) -> list[Rule]:
    return _weight_and_bias(theirs, ours, "scale", SAME)


def _conv(theirs: str, ours: str) -> list[Rule]:
    return _weight_and_bias(theirs, ours, "kernel", CONV)


def _conv_norm(conv: str, norm: str, our_conv: str, our_norm: str) -> list[Rule]:
    """A convolution without bias and its batch norm."""
    statistics = [Rule(f"{norm}.running_{name}", (f"{our_norm}/{name}",)) for name in ("mean", "var")]
    return [Rule(f"{conv}.weight", (f"{our_conv}/kernel",), CONV), *_norm(norm, our_norm), *statistics]


def _attention(theirs: str, ours: str) -> list[Rule]:
    return [
        Rule(f"{theirs}.attn.in_proj_weight", tuple(f"{ours}/{name}/kernel" for name in "qkv"), LINEAR),
        Rule(f"{theirs}.attn.in_proj_bias", tuple(f"{ours}/{name}/bias" for name in "qkv")),
        *_linear(f"{theirs}.attn.out_proj", f"{ours}/o"),
    ]


def deformable_rules(theirs: str, output: str, ours: str) -> list[Rule]:
    return [
        *_linear(f"{theirs}sampling_offsets", f"{ours}/offsets"),
        *_linear(f"{theirs}attention_weights", f"{ours}/weights"),
        *_linear(f"{theirs}value_proj", f"{ours}/value"),
        *_linear(output, f"{ours}/output"),
    ]


def _feed_forward_and_norms(theirs: str, ours: str, norms: int) -> list[Rule]:
    up, down = f"{theirs}.ffns.0.layers.0.0", f"{theirs}.ffns.0.layers.1"
    rules = _linear(up, f"{ours}/ffn/up") + _linear(down, f"{ours}/ffn/down")
    for k in range(norms):
        rules += _norm(f"{theirs}.norms.{k}", f"{ours}/norm{k + 1}")
    return rules


def _mlp(theirs: str, ours: str, linears: tuple[int, ...], norms: tuple[int, ...] = ()) -> list[Rule]:
    """A torch Sequential, by the positions of its Linears (the last is `last`) and of its LayerNorms."""
    rules = _linear(f"{theirs}.{linears[-1]}", f"{ours}/last")
    for k, position in enumerate(linears[:-1]):
        rules += _linear(f"{theirs}.{position}", f"{ours}/layers/{k}")
    for k, position in enumerate(norms):
        rules += _norm(f"{theirs}.{position}", f"{ours}/norms/{k}")
    return rules


def resnet_rules(prefix: str) -> list[Rule]:
    """torchvision's ResNet, classifier aside; `prefix` is "img_backbone." in VAD."""
    encoder = "image_encoder"
    rules = _conv_norm(f"{prefix}conv1", f"{prefix}bn1", f"{encoder}/stem/conv", f"{encoder}/stem/norm")
    for stage in range(4):  # torchvision counts from 1
        theirs, ours = f"{prefix}layer{stage + 1}.{{i}}", f"{encoder}/stages/{stage}/{{i}}"
        for k in (1, 2, 3):
            rules += _conv_norm(f"{theirs}.conv{k}", f"{theirs}.bn{k}", f"{ours}/conv{k}", f"{ours}/norm{k}")
        shortcut = f"{theirs}.downsample"
        rules += _conv_norm(f"{shortcut}.0", f"{shortcut}.1", f"{ours}/downsample", f"{ours}/downsample_norm")
    return rules


def fpn_rules(stages: int, extra_levels: int) -> list[Rule]:
    """mmdet numbers the extra levels on from the outputs of the stages."""
    theirs, ours = "img_neck.fpn_convs", "image_encoder/fpn"
    rules = _conv("img_neck.lateral_convs.{i}.conv", f"{ours}/laterals/{{i}}")
    for k in range(stages):
        rules += _conv(f"{theirs}.{k}.conv", f"{ours}/outputs/{k}")
    for k in range(extra_levels):
        rules += _conv(f"{theirs}.{stages + k}.conv", f"{ours}/extras/{k}")
    return rules


def _encoder_rules(head: str) -> list[Rule]:
    transformer = f"{head}transformer"
    theirs, ours = f"{transformer}.encoder.layers.{{i}}", "bev_encoder/layers[{i}]"
    temporal, spatial = f"{theirs}.attentions.0", f"{theirs}.attentions.1"
    return [
        Rule(f"{head}bev_embedding.weight", ("bev_encoder/queries",)),
        Rule(f"{head}positional_encoding.row_embed.weight", ("bev_encoder/row_embeds",)),
        Rule(f"{head}positional_encoding.col_embed.weight", ("bev_encoder/column_embeds",)),
        Rule(f"{transformer}.level_embeds", ("bev_encoder/level_embeds",)),
        Rule(f"{transformer}.cams_embeds", ("bev_encoder/camera_embeds",)),
        *_linear(f"{transformer}.can_bus_mlp.0", "bev_encoder/can_bus1"),
        *_linear(f"{transformer}.can_bus_mlp.2", "bev_encoder/can_bus2"),
        *_norm(f"{transformer}.can_bus_mlp.norm", "bev_encoder/can_bus_norm"),
        *deformable_rules(f"{temporal}.", f"{temporal}.output_proj", f"{ours}/temporal/maps"),
        *deformable_rules(f"{spatial}.deformable_attention.", f"{spatial}.output_proj", f"{ours}/spatial/maps"),
        *_feed_forward_and_norms(theirs, ours, 3),
    ]


def _decoder_rules(head: str, kind: str, module: str) -> list[Rule]:
    """`kind` is "" for agents and "map_" for the map."""
    theirs, ours = f"{head}transformer.{kind}decoder.layers.{{i}}", f"{module}/decoder/layers[{{i}}]"
    cross = f"{theirs}.attentions.1"
    return [
        *_linear(f"{head}transformer.{kind}reference_points", f"{module}/decoder/reference"),
        *_attention(f"{theirs}.attentions.0", f"{ours}/attn"),
        *deformable_rules(f"{cross}.", f"{cross}.output_proj", f"{ours}/cross/maps"),
        *_feed_forward_and_norms(theirs, ours, 3),
        *_mlp(f"{head}{kind}cls_branches.{{i}}", f"{module}/classes[{{i}}]", (0, 3, 6), (1, 4)),
        *_mlp(f"{head}{kind}reg_branches.{{i}}", f"{module}/decoder/branches[{{i}}]", (0, 2, 4)),
    ]


def _block(theirs: str, ours: str) -> list[Rule]:
    layer = f"{theirs}.layers.0"
    return [*_attention(f"{layer}.attentions.0", f"{ours}/attn"), *_feed_forward_and_norms(layer, ours, 2)]


def head_rules(head: str) -> list[Rule]:
    """VADHead; the prefix `head` is "pts_bbox_head." in VAD."""
    lanes, our_lanes = f"{head}lane_encoder.layer_seq.lmlp_{{i}}.mlp", "map_head/lane_encoder/layers[{i}]"
    return [
        *_encoder_rules(head),
        *_decoder_rules(head, "", "agent_head"),
        *_decoder_rules(head, "map_", "map_head"),
        Rule(f"{head}query_embedding.weight", ("agent_head/queries",)),
        Rule(f"{head}map_instance_embedding.weight", ("map_head/line_queries",)),
        Rule(f"{head}map_pts_embedding.weight", ("map_head/point_queries",)),
        *_linear(f"{lanes}.0", f"{our_lanes}/linear"),
        *_norm(f"{lanes}.1", f"{our_lanes}/norm"),
        Rule(f"{head}motion_mode_query.weight", ("agent_head/mode_queries",)),
        *_linear(f"{head}pos_mlp_sa", "agent_head/position"),
        *_block(f"{head}motion_decoder", "agent_head/agents"),
        *_linear(f"{head}pos_mlp", "agent_head/map/position"),
        *_block(f"{head}motion_map_decoder", "agent_head/map/block"),
        *_mlp(f"{head}traj_branches.0", "agent_head/motion", (0, 2, 4)),
        *_mlp(f"{head}traj_cls_branches.0", "agent_head/modes", (0, 3, 6), (1, 4)),
        *_mlp(f"{head}agent_fus_mlp", "agent_head/token", (0, 3), (1,)),
        Rule(f"{head}ego_query.weight", ("planner/ego_query",)),
        *_linear(f"{head}ego_agent_pos_mlp", "planner/agent_position"),
        *_linear(f"{head}ego_map_pos_mlp", "planner/map_position"),
        *_block(f"{head}ego_agent_decoder", "planner/ego_agent"),
        *_block(f"{head}ego_map_decoder", "planner/ego_map"),
        *_mlp(f"{head}ego_fut_decoder", "planner/waypoints", (0, 2, 4)),
    ]


def vad_rules(paths: Iterable[str]) -> list[Rule]:
    """The whole table for a student with the weights of these paths, which say how many levels its FPN has."""
    names = [path.split("/") for path in paths if path.startswith("image_encoder/fpn/") and path.endswith("bias")]
    stages, extra_levels = (sum(name[2] == kind for name in names) for kind in ("outputs", "extras"))
    return [*resnet_rules("img_backbone."), *fpn_rules(stages, extra_levels), *head_rules("pts_bbox_head.")]


def from_torch(
    state_dict: Mapping[str, np.ndarray], expected: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], Assignments]:
    """A VAD state dict (mmcv's names) to ({student path: array}, where every key went).

    expected: the student's weights or their shapes, by path. Raises MismatchError naming a key that is unknown, extra,
    missing or of a wrong shape; the keys that carry nothing for us must be there too.
    """
    params, assignments = to_params(vad_rules(expected), IGNORED, state_dict, expected)
    for key in constants_and_counters(assignments.used):
        if key not in state_dict:
            raise MismatchError(f"missing key {key!r}; is the checkpoint complete?")
    return params, assignments


def to_torch(params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The student's weights by path as a complete VAD state dict, its constants and batch-norm counters included."""
    state_dict = to_state_dict(vad_rules(params), params)
    return {**state_dict, **constants_and_counters(state_dict)}


def constants_and_counters(keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The entries of a VAD state dict that are no weight here, given the keys of those that are."""
    ending = "running_var"
    counters = [key.removesuffix(ending) + COUNTER for key in keys if key.endswith(ending)]
    return {**CONSTANTS, **{key: np.zeros((), np.int64) for key in counters}}
