"""The CAN bus numbers of a frame as inputs of a network that is not VAD's, which reads them in their own units."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

CAN_BUS_SCALE = (  # typical sizes of the CAN bus numbers (docs/vad.md#can-bus)
    *(5.0, 5.0, 5.0),  # way since the previous frame, meters
    *(1.0, 1.0, 1.0, 1.0),  # orientation
    *(10.0, 10.0, 10.0),  # acceleration with gravity, m/s^2
    *(0.5, 0.5, 0.5),  # rotation rate, rad/s
    *(10.0, 10.0, 10.0),  # velocity, m/s
    *(math.pi, 10.0),  # yaw, radians; its change, degrees
)
CAN_BUS_LIMIT = 4.0  # of a number so scaled: the change of yaw is not wrapped


def scaled(can_bus: Float[Array, "B 18"]) -> Float[Array, "B 18"]:
    """Each number divided by its typical size, in [-CAN_BUS_LIMIT, CAN_BUS_LIMIT]."""
    return jnp.clip(can_bus / jnp.asarray(CAN_BUS_SCALE), -CAN_BUS_LIMIT, CAN_BUS_LIMIT)
