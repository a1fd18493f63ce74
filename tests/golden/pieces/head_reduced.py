"""Golden piece head_reduced: VAD's whole head on given features, two frames, the second with its previous BEV."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import weights
from dima_jax.convert import torch_vad
from tests.golden.check import close
from tests.golden.recipe_student import partial, state_dict, vad_config

HEAD = ("bev_encoder/", "agent_head/", "map_head/", "planner/")


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(path, dict(data)))


def head(path: Path, d):
    """The student of such a golden file: recipe weights in the head, none in the image encoder."""
    foreign = state_dict(path.with_name(f"{path.stem}_state_dict.json"), int(d["recipe_seed"]), "pts_bbox_head.")
    return partial(config_of(d), torch_vad.head_rules("pts_bbox_head."), HEAD, foreign)


def config_of(d):
    """The config of the model that made such a golden file; the image encoder is as small as it can be."""
    levels = len(d["spatial_shapes"])
    extra_levels = int(levels > 1)
    return vad_config(
        layers=map(int, d["layers_enc_dec_map"]),
        bev_shape=map(int, d["bev_hw"]),
        stages=range(4 - levels + extra_levels, 4),
        extra_levels=extra_levels,
        image_shape=map(int, d["img_hw"]),
        stage_blocks=(1, 1, 1, 1),
        stage_width=4,
        num_agents=int(d["num_query"]),
        num_map=int(d["num_vec"]),
        rotate_center=tuple(map(int, d["rotate_center_xy"])),
    )


def features(d, frame: str):
    """The image levels of a frame ("f0/"), [1, 6, h, w, D]."""
    count = len(d["spatial_shapes"])
    return [jnp.asarray(d[f"{frame}feat{i}"].transpose(0, 1, 3, 4, 2)) for i in range(count)]


def _checks(path: Path, d):
    graph, params = weights.split(head(path, d))

    @jax.jit
    def run(params, levels, lidar2img, can_bus, prev_bev, has_prev_bev):
        model = weights.bind(graph, params)
        return model.decode(model.encode_features(levels, lidar2img, can_bus, prev_bev, has_prev_bev))

    prev_bev = jnp.zeros((1, int(np.prod(d["bev_hw"])), 256))
    for frame, has_prev in (("f0", False), ("f1", True)):
        lidar2img, can_bus = (
            jnp.asarray(d[f"{frame}/{name}__f64"], jnp.float32)[None] for name in ("lidar2img", "can_bus")
        )
        out = run(params, features(d, f"{frame}/"), lidar2img, can_bus, prev_bev, jnp.asarray([has_prev]))
        yield from predictions(out, d, f"{frame}/")
        prev_bev = out.tokens.bev
        yield close(f"{frame} bev", prev_bev.swapaxes(0, 1), d[f"{frame}/out/bev_embed"], 1e-4)


def predictions(out, d, prefix: str, tolerance: float = 1e-4):
    """Checks of the student's outputs against `<prefix>out/*` and the middle of the network, `<prefix>mid/*`."""
    golden = {name.removeprefix(prefix): value for name, value in d.items() if name.startswith(prefix)}
    trajectories = golden["out/all_traj_preds"]
    pairs = {
        "out/all_cls_scores": out.agent_logits,
        "out/all_bbox_preds": out.agent_codes,
        "out/all_traj_preds": out.agent_future_offsets.reshape(trajectories.shape),
        "out/all_traj_cls_scores": out.agent_mode_logits[None],
        "out/map_all_cls_scores": out.map_logits,
        "out/map_all_pts_preds": out.map_points,
        "out/ego_fut_preds": out.ego_offsets,
        "mid/agent_fus_mlp": out.tokens.agents,
        "mid/lane_encoder": out.tokens.map,
    }
    for name, ours in pairs.items():
        if name in golden:
            wide = 5.0 if "bbox" in name else 1.0  # meters
            yield close(f"{prefix}{name}", ours, golden[name], tolerance * wide)
