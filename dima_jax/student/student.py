"""The student, images to plan: VAD exactly as released (docs/decisions.md#d1), with the sizes of a config.

    images -> image_encoder -> bev_encoder -> map_head, agent_head -> planner

It keeps no state between calls: the previous BEV is an input, the new one is `output.tokens.bev`. Quirks Q1, Q3, Q4 and
Q5 (docs/vad.md#quirks) are kept, because the public weights were trained with them; the code names each where it is.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, UInt8
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES
from dima_jax.student.agent_head import AgentHead
from dima_jax.student.bev_encoder import BevEncoder
from dima_jax.student.grid_mask import grid_mask
from dima_jax.student.image_encoder import ImageEncoder
from dima_jax.student.layers import InitRngs, Rngs, make_dropout_keys, split_dropout_keys
from dima_jax.student.map_head import MapHead
from dima_jax.student.photometric import distort
from dima_jax.student.planner import Planner
from dima_jax.student.precision import computing_in
from dima_jax.types import Distortion, Frame, GroupOutput, QueryGroups, SceneTokens, StudentOutput

Levels = list[Float[Array, "B N _ _ D"]]  # image features of pyramid levels, finest first


class Student(nnx.Module):
    """Camera-only planner. Arguments: the groups `student`, whose dtype `build` sees to, and `data` of `configs/base.py`."""

    def __init__(
        self,
        *,
        stage_blocks: Sequence[int],
        stage_width: int,
        out_stages: Sequence[int],
        extra_levels: int,
        level_embeds: int,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        bev_shape: Sequence[int],
        pc_range: Sequence[float],
        pillar_points: int,
        rotate_center: Sequence[int],
        encoder_layers: int,
        decoder_layers: int,
        map_decoder_layers: int,
        num_agents: int,
        num_map: int,
        num_points: int,
        num_modes: int,
        num_future: int,
        num_commands: int,
        map_score_threshold: float,
        map_distance_threshold: float,
        encoder_remat: str,
        num_cameras: int,
        image_shape: Sequence[int],
        valid_shape: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        grid_mask: float,
        rngs: Rngs,
    ):
        self.bev_shape, self.image_shape, self.valid_shape = tuple(bev_shape), tuple(image_shape), tuple(valid_shape)
        self.mean, self.std, self.grid_mask = tuple(mean), tuple(std), grid_mask
        pc_range = tuple(pc_range)
        shared = dict(width=width, ffn_width=ffn_width, num_heads=num_heads, dropout=dropout, rngs=rngs)
        self.image_encoder = ImageEncoder(
            stage_blocks=tuple(stage_blocks),
            stage_width=stage_width,
            out_stages=tuple(out_stages),
            width=width,
            extra_levels=extra_levels,
            rngs=rngs,
        )
        self.bev_encoder = BevEncoder(
            bev_shape=self.bev_shape,
            pc_range=pc_range,
            pillar_points=pillar_points,
            rotate_center=tuple(rotate_center),
            encoder_layers=encoder_layers,
            num_cameras=num_cameras,
            num_levels=len(out_stages) + extra_levels,
            level_embeds=level_embeds,
            image_shape=self.image_shape,
            remat=encoder_remat,
            **shared,
        )
        self.map_head = MapHead(
            decoder_layers=map_decoder_layers,
            num_map=num_map,
            num_points=num_points,
            num_classes=len(MAP_CLASSES),
            **shared,
        )
        self.agent_head = AgentHead(
            decoder_layers=decoder_layers,
            num_agents=num_agents,
            num_modes=num_modes,
            num_future=num_future,
            num_classes=len(AGENT_CLASSES),
            pc_range=pc_range,
            map_score_threshold=map_score_threshold,
            map_distance_threshold=map_distance_threshold,
            **shared,
        )
        self.planner = Planner(num_commands=num_commands, num_future=num_future, **shared)

    def __call__(
        self,
        frame: Frame,
        prev_bev: Float[Array, "B YX D"],
        has_prev_bev: Bool[Array, " B"],
        *,
        is_training: bool = False,
        key: jax.Array | None = None,
        distortion: Distortion | None = None,
    ) -> StudentOutput:
        """Predictions for one frame.

        prev_bev: BEV of the previous frame, ignored where has_prev_bev is False. is_training: dropout and GridMask are
        on; ValueError without a key. distortion: of the images, [B, N, ...].
        """
        key_bev, key_rest = training_keys(is_training, key, 2)
        bev = self.encode_bev(
            frame, prev_bev, has_prev_bev, is_training=is_training, key=key_bev, distortion=distortion
        )
        return self.decode(bev, is_training=is_training, key=key_rest, frame=frame)

    def encode_bev(
        self,
        frame: Frame,
        prev_bev: Float[Array, "B YX D"],
        has_prev_bev: Bool[Array, " B"],
        *,
        is_training: bool = False,
        key: jax.Array | None = None,
        distortion: Distortion | None = None,
    ) -> Float[Array, "B YX D"]:
        """Frame to BEV tokens; arguments as in `__call__`."""
        key_images, key_encoder = training_keys(is_training, key, 2)
        features = self.image_features(frame.images, key=key_images, distortion=distortion)
        return self.encode_features(
            features, frame.lidar2img, frame.can_bus, prev_bev, has_prev_bev, is_training=is_training, key=key_encoder
        )

    @jax.named_scope("bev_encoder")
    def encode_features(
        self,
        features: Levels,
        lidar2img: Float[Array, "B N 4 4"],
        can_bus: Float[Array, "B 18"],
        prev_bev: Float[Array, "B YX D"],
        has_prev_bev: Bool[Array, " B"],
        *,
        is_training: bool = False,
        key: jax.Array | None = None,
    ) -> Float[Array, "B YX D"]:
        """As `encode_bev`, from `image_features`, so that the images of a whole history can be encoded in one pass."""
        dropout_keys = make_dropout_keys(*training_keys(is_training, key, 1))
        return self.bev_encoder(features, lidar2img, can_bus, prev_bev, has_prev_bev, dropout_keys)

    @jax.named_scope("image_encoder")
    def image_features(
        self,
        images: UInt8[Array, "B N H W 3"],
        *,
        key: jax.Array | None = None,
        distortion: Distortion | None = None,
    ) -> Levels:
        """Pyramid levels of the images, finest first; N may hold several frames' cameras. With a key: GridMask.

        distortion: of the images, [B, N, ...].
        """
        pixels = self.normalize(*jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (images, distortion)))
        if key is not None and self.grid_mask > 0.0:
            pixels = grid_mask(pixels, self.grid_mask, key)
        levels = self.image_encoder(pixels)
        return [level.reshape(*images.shape[:2], *level.shape[1:]) for level in levels]

    def normalize(
        self, images: UInt8[Array, "n H W 3"], distortion: Distortion | None = None
    ) -> Float[Array, "n H W 3"]:
        """(pixel - mean) / std; as in VAD, the padding at the right and at the bottom is 0 *after* normalizing.

        distortion: of the images, [n, ...], applied before.
        """
        rows, columns = self.valid_shape
        valid = images[:, :rows, :columns].astype(jnp.float32)
        if distortion is not None:
            valid = distort(valid, distortion)
        # Constants of a whole row of pixels: ONNX runtimes are slow at operands of three numbers.
        mean, std = (np.broadcast_to(np.asarray(x, np.float32), valid.shape[2:]) for x in (self.mean, self.std))
        pixels = (valid - mean) / std
        below, right = images.shape[1] - rows, images.shape[2] - columns
        return jnp.pad(pixels, ((0, 0), (0, below), (0, right), (0, 0)))

    def empty_bev(self, batch_size: int) -> Float[Array, "B YX D"]:
        """Zeros, for `prev_bev` where there is no previous frame."""
        return jnp.zeros((batch_size, self.bev_shape[0] * self.bev_shape[1], self.planner.ego_query.shape[-1]))

    @jax.named_scope("heads")
    def decode(
        self,
        bev: Float[Array, "B YX D"],
        *,
        is_training: bool = False,
        key: jax.Array | None = None,
        more_queries: QueryGroups | None = None,
        frame: Frame | None = None,
    ) -> StudentOutput:
        """BEV to agents, map and plan. more_queries: further groups of queries, in training (`auxiliary.py`).

        frame: that of the BEV, whose CAN bus and command are handed on to a teacher; the student does not read it here.
        """
        more = more_queries or QueryGroups(None, None)
        keys_map, keys_agents, keys_plan = split_dropout_keys(make_dropout_keys(*training_keys(is_training, key, 1)), 3)
        lines = self.map_head(bev, self.bev_shape, keys_map, more_queries=more.map)
        agents = self.agent_head(bev, self.bev_shape, lines, keys_agents, more_queries=more.agents)
        ego = jnp.broadcast_to(self.planner.ego_query[...], (bev.shape[0], 1, bev.shape[-1]))
        given = (None, None) if frame is None else (frame.can_bus, frame.command)
        tokens = SceneTokens(bev, ego, agents.tokens, agents.positions, lines.tokens, lines.positions, *given)
        offsets, feature = self.planner(tokens, keys_plan)
        return StudentOutput(
            tokens=tokens,
            agent_logits=agents.logits,
            agent_codes=agents.codes,
            agent_future_offsets=agents.future_offsets,
            agent_mode_logits=agents.mode_logits,
            map_logits=lines.logits,
            map_points=lines.points,
            ego_offsets=offsets,
            ego_feature=feature,
            groups=more_queries
            and GroupOutput(agents.more_logits, agents.more_codes, lines.more_logits, lines.more_points),
        )


def training_keys(is_training: bool, key: jax.Array | None, count: int) -> list[jax.Array | None]:
    """`count` keys from one in training, as many Nones in evaluation. ValueError for training without a key."""
    if not is_training:
        return [None] * count
    if key is None:
        raise ValueError("training needs a PRNG key for dropout and GridMask")
    return list(jax.random.split(key, count))


def build(config: ConfigDict, rngs: nnx.Rngs) -> Student:
    """The student of a whole config (groups `student` and `data`)."""
    data = config.data
    images = dict(image_shape=data.image_shape, valid_shape=data.valid_shape, mean=data.mean, std=data.std)
    images |= dict(num_cameras=len(data.cameras), grid_mask=data.grid_mask)
    sizes = {name: value for name, value in config.student.items() if name != "dtype"}
    with computing_in(config.student.dtype):
        return Student(**sizes, **images, rngs=InitRngs(rngs.params()))


def in_float32(config: ConfigDict) -> ConfigDict:
    """The same student, computing in float32: what its norms are measured with and what is exported."""
    config = config.copy_and_resolve_references()
    config.student.dtype = "float32"
    return config


def abstract(config: ConfigDict) -> tuple[nnx.GraphDef, dict[str, jax.ShapeDtypeStruct]]:
    """(graph, {path without "student/": shape}) of a config's student; no array is made."""
    return weights.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))
