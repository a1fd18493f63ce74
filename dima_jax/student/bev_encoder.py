"""Image features to a bird's-eye-view map: BEVFormer's encoder as VAD uses it (VAD_transformer.py, modules/*).

BEV queries attend to the previous BEV, moved by the ego motion (temporal attention), then to the cameras that see their
pillar (spatial attention). Layers are post-norm; the residuals are inside each attention (docs/vad.md#bev-encoder).

Quirks kept: Q1 in `bev_geometry.rotate_bev`; Q3 and Q4 here. For batch > 1 every sample is treated as VAD treats its
batch of one (docs/decisions.md#d1).

Axis letters here: c cells of all image levels together, z points of a pillar.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from dima_jax import sharding
from dima_jax.scan_layers import num_layers, scan_layers, stack_layers
from dima_jax.student.bev_geometry import cell_centers, ego_shift, pillars, project_pillars, rotate_bev
from dima_jax.student.deformable_attention import (
    DeformableProjections,
    sample_cameras,
    sample_levels,
    sampling_locations,
)
from dima_jax.student.layers import (
    FeedForward,
    Rngs,
    dropout,
    dropout_keys_per_layer,
    embedding,
    layer_norm,
    linear,
    split_dropout_keys,
    xavier,
    zeros,
)
from dima_jax.student.pair_sampling import sample_pairs
from dima_jax.types import LevelShapes

TEMPORAL_POINTS = 4  # sampling points per head and BEV
SPATIAL_POINTS = 8  # sampling points per head and level


class TemporalAttention(nnx.Module):
    """Queries sample the previous BEV and the current one; the two results are averaged.

    dropout_rate: of the output.
    """

    def __init__(self, width: int, num_heads: int, dropout_rate: float, rngs: Rngs):
        self.dropout_rate = dropout_rate
        self.maps = DeformableProjections(2 * width, width, num_heads, TEMPORAL_POINTS, rngs, sets=2)

    def __call__(
        self,
        query: Float[Array, "B YX D"],
        query_pos: Float[Array, "1 YX D"],
        previous: Float[Array, "B YX D"],
        current: Float[Array, "B YX D"],
        references: Float[Array, "B 2 YX 2"],
        bev_shape: tuple[int, int],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B YX D"]:
        """references: the point (x, y) in [0, 1] around which a query samples the previous BEV, and the current one."""
        offsets, weights = self.maps.points(jnp.concatenate([previous, query + query_pos], axis=-1))
        offsets, weights = jnp.moveaxis(offsets, 3, 1), jnp.moveaxis(weights, 3, 1)
        shapes = (bev_shape,)
        locations = sampling_locations(references[:, :, :, None], offsets, shapes)
        values = self.maps.values(jnp.stack([previous, current], axis=1))
        # The two BEVs of a sample become neighbors on the batch axis: a batch that is split over a mesh is not moved.
        values, locations, weights = (x.reshape(-1, *x.shape[2:]) for x in (values, locations, weights))
        sampled = sample_levels(values, shapes, locations, weights).reshape(len(query), 2, *query.shape[1:])
        out = self.maps.output(0.5 * (sampled[:, 0] + sampled[:, 1]))
        return query + dropout(out, self.dropout_rate, dropout_keys)


class SpatialAttention(nnx.Module):
    """Queries sample every camera that sees their pillar; the sum is divided by the number of those cameras.

    levels: of the image features. dropout_rate: of the output.
    """

    def __init__(self, width: int, num_heads: int, levels: int, dropout_rate: float, rngs: Rngs):
        self.dropout_rate = dropout_rate
        self.maps = DeformableProjections(width, width, num_heads, SPATIAL_POINTS, rngs, levels=levels)

    def __call__(
        self,
        query: Float[Array, "B YX D"],
        features: Float[Array, "B N c D"],
        shapes: LevelShapes,
        references: Float[Array, "B N YX z 2"],
        visible: Bool[Array, "B N YX z"],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B YX D"]:
        """A camera that sees any point of a pillar is sampled around all its points, those outside the image too.

        references, visible: from `bev_geometry.project_pillars`.
        """
        sees_pillar = visible.any(axis=-1)
        offsets, weights = self.maps.points(query)
        values = self.maps.values(features)
        sample = sample_pairs if sharding.platform() == "cpu" else sample_cameras
        total = sample(values, shapes, references, sees_pillar, offsets[:, :, :, 0], weights[:, :, :, 0])
        cameras = jnp.maximum(sees_pillar.sum(axis=1), 1).astype(jnp.float32)
        out = self.maps.output(total / cameras[..., None])
        return query + dropout(out, self.dropout_rate, dropout_keys)


class EncoderLayer(nnx.Module):
    """Temporal attention, spatial attention, feed-forward, each followed by a LayerNorm. Arguments as in its parts."""

    def __init__(self, width: int, ffn_width: int, num_heads: int, levels: int, dropout_rate: float, rngs: Rngs):
        self.temporal = TemporalAttention(width, num_heads, dropout_rate, rngs)
        self.norm1 = layer_norm(width, rngs)
        self.spatial = SpatialAttention(width, num_heads, levels, dropout_rate, rngs)
        self.norm2 = layer_norm(width, rngs)
        self.ffn = FeedForward(width, ffn_width, dropout_rate, rngs)
        self.norm3 = layer_norm(width, rngs)

    def __call__(
        self,
        query: Float[Array, "B YX D"],
        query_pos: Float[Array, "1 YX D"],
        previous: Float[Array, "B YX D"],
        current: Float[Array, "B YX D"],
        temporal_references: Float[Array, "B 2 YX 2"],
        bev_shape: tuple[int, int],
        cameras: tuple,
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B YX D"]:
        """The next query. cameras: (features, shapes, references, visible), arguments of `SpatialAttention`."""
        keys_temporal, keys_spatial, keys_ffn = split_dropout_keys(dropout_keys, 3)
        query = self.temporal(query, query_pos, previous, current, temporal_references, bev_shape, keys_temporal)
        query = self.norm2(self.spatial(self.norm1(query), *cameras, keys_spatial))
        return self.norm3(self.ffn(query, keys_ffn))


class BevEncoder(nnx.Module):
    """`encoder_layers` layers over a grid of learned queries.

    num_cameras: N. num_levels: levels of the image features; the table of level embeddings has `level_embeds` rows, at
    least as many. image_shape: (rows, columns) of the padded images. remat: `encoder_remat`. The rest as in
    `configs/base.py`.
    """

    def __init__(
        self,
        *,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        bev_shape: tuple[int, int],
        pc_range: tuple[float, ...],
        pillar_points: int,
        rotate_center: tuple[int, int],
        encoder_layers: int,
        num_cameras: int,
        num_levels: int,
        level_embeds: int,
        image_shape: tuple[int, int],
        remat: str,
        rngs: Rngs,
    ):
        self.bev_shape, self.pc_range, self.image_shape, self.remat = bev_shape, pc_range, image_shape, remat
        self.pillar_points, self.rotate_center = pillar_points, rotate_center
        rows, columns = bev_shape
        uniform = nnx.initializers.uniform(1.0)
        self.queries = embedding(rows * columns, width, rngs)
        self.row_embeds = embedding(rows, width // 2, rngs, uniform)
        self.column_embeds = embedding(columns, width // 2, rngs, uniform)
        self.camera_embeds = embedding(num_cameras, width, rngs)
        self.level_embeds = embedding(level_embeds, width, rngs)
        self.can_bus1 = linear(18, width // 2, rngs, xavier, zeros, dtype=jnp.float32)
        self.can_bus2 = linear(width // 2, width, rngs, xavier, zeros)
        self.can_bus_norm = layer_norm(width, rngs)
        sizes = (width, ffn_width, num_heads, num_levels, dropout)
        self.layers = stack_layers([EncoderLayer(*sizes, rngs) for _ in range(encoder_layers)])

    def __call__(
        self,
        features: list[Float[Array, "B N _ _ D"]],
        lidar2img: Float[Array, "B N 4 4"],
        can_bus: Float[Array, "B 18"],
        prev_bev: Float[Array, "B YX D"],
        has_prev_bev: Bool[Array, " B"],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B YX D"]:
        """The BEV of the current frame.

        features: pyramid levels, finest first. prev_bev: of the previous frame, in the LiDAR frame of that frame;
        ignored where has_prev_bev is False.

        Quirk Q3: the ego motion moves the points around which queries sample the previous BEV *and* the current one.
        Quirk Q4: with a previous BEV, the "current BEV" of temporal attention is the first layer's query in every
        layer; without one, both BEVs are the layer's own query.
        """
        shapes = tuple(level.shape[2:4] for level in features)
        tokens = self.camera_tokens(features)
        points = pillars(self.bev_shape, self.pc_range, self.pillar_points)
        references, visible = project_pillars(lidar2img, points, self.pc_range, self.image_shape)
        shifted = cell_centers(self.bev_shape) + ego_shift(can_bus, self.pc_range)[:, None]
        temporal_references = jnp.stack([shifted, shifted], axis=1)
        rotated = rotate_bev(prev_bev, can_bus[:, 17], self.bev_shape, self.rotate_center)
        start = query = self.queries[...] + self.embed_can_bus(can_bus)[:, None]
        query_pos = self.position_embeds()
        has_prev = has_prev_bev[:, None, None]
        cameras = (tokens, shapes, references, visible)

        def step(query, layer, keys_layer):
            previous = jnp.where(has_prev, rotated, query)
            current = jnp.where(has_prev, start, query)
            query = layer(query, query_pos, previous, current, temporal_references, self.bev_shape, cameras, keys_layer)
            return query, None

        keys = dropout_keys_per_layer(dropout_keys, num_layers(self.layers))
        return scan_layers(step, query, self.layers, keys, remat=self.is_rematerialized())[0]

    def is_rematerialized(self) -> bool:
        """Whether the backward pass computes a layer again: its sampling points take many times the memory of its queries."""
        return sharding.platform() != "cpu" if self.remat == "accelerators" else self.remat == "always"

    def camera_tokens(self, features: list[Float[Array, "B N _ _ D"]]) -> Float[Array, "B N c D"]:
        """The cells of all levels of a camera, one level after the other, plus camera and level embeddings."""
        levels = []
        for i, level in enumerate(features):
            cells = level.reshape(*level.shape[:2], -1, level.shape[-1])
            levels.append((cells + self.camera_embeds[...][:, None] + self.level_embeds[i]).astype(cells.dtype))
        return jnp.concatenate(levels, axis=2)

    def position_embeds(self) -> Float[Array, "1 YX D"]:
        """Learned positions of the cells: the first half of the channels from the column, the second from the row."""
        rows, columns = self.bev_shape
        by_column = jnp.tile(self.column_embeds[...], (rows, 1))
        by_row = jnp.repeat(self.row_embeds[...], columns, axis=0)
        return jnp.concatenate([by_column, by_row], axis=-1)[None]

    def embed_can_bus(self, can_bus: Float[Array, "B 18"]) -> Float[Array, "B D"]:
        """The CAN bus vector, embedded; added to the query of every cell."""
        return self.can_bus_norm(jax.nn.relu(self.can_bus2(jax.nn.relu(self.can_bus1(can_bus)))))
