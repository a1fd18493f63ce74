"""A student's raw output, decoded in one place: what the planning constraints, the scene editor, the exported graph,
the policy and the evaluator read.

The last decoder layer counts. Scores are sigmoids, boxes and positions meters in the LiDAR frame of the frame; nothing
is thresholded. Gradients flow through `decode`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dima_jax import geometry
from dima_jax.constants import MAP_CLASSES, NUM_VEHICLE_CLASSES
from dima_jax.types import StudentOutput


class Predictions(NamedTuple):
    """agent_boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of gravity. agent_offsets: meters per step of 0.5 s, of
    every motion mode. Scores lie in (0, 1).
    """

    agent_scores: Float[Array, "B A 10"]
    agent_boxes: Float[Array, "B A 9"]
    agent_offsets: Float[Array, "B A K F 2"]
    agent_mode_scores: Float[Array, "B A K"]
    map_scores: Float[Array, "B M 3"]
    map_lines: Float[Array, "B M P 2"]


def decode(output: StudentOutput, pc_range: Sequence[float]) -> Predictions:
    """The last decoder layer's predictions in meters and scores."""
    return Predictions(
        agent_scores=jax.nn.sigmoid(output.agent_logits[-1]),
        agent_boxes=geometry.decode_boxes(output.agent_codes[-1]),
        agent_offsets=output.agent_future_offsets,
        agent_mode_scores=jax.nn.sigmoid(output.agent_mode_logits),
        map_scores=jax.nn.sigmoid(output.map_logits[-1]),
        map_lines=geometry.denormalize_xy(output.map_points[-1], pc_range),
    )


def agent_futures(predictions: Predictions) -> Float[Array, "B A K F 2"]:
    """Positions of every motion mode at every step."""
    centers = predictions.agent_boxes[:, :, None, None, :2]
    return centers + geometry.offsets_to_waypoints(predictions.agent_offsets)


def likeliest_offsets(predictions: Predictions) -> Float[Array, "B A F 2"]:
    """Offsets in meters per step of each agent's most likely motion mode."""
    mode = predictions.agent_mode_scores.argmax(axis=-1)[..., None, None, None]
    return jnp.take_along_axis(predictions.agent_offsets, mode, axis=2)[:, :, 0]


def is_agent(predictions: Predictions, threshold: float) -> Bool[Array, "B A"]:
    """True where the best class of a query scores at least `threshold`."""
    return predictions.agent_scores.max(axis=-1) >= threshold


def is_vehicle(predictions: Predictions, threshold: float) -> Bool[Array, "B A"]:
    """`is_agent`, and the best class is a vehicle."""
    return is_agent(predictions, threshold) & (predictions.agent_scores.argmax(axis=-1) < NUM_VEHICLE_CLASSES)


def is_line(predictions: Predictions, map_class: str, threshold: float) -> Bool[Array, "B M"]:
    """True where a query scores at least `threshold` for a class of `constants.MAP_CLASSES`."""
    return predictions.map_scores[..., MAP_CLASSES.index(map_class)] >= threshold
