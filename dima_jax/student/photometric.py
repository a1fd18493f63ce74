"""VAD's photometric distortion of training images, on the device: PhotoMetricDistortionMultiViewImage of its pipeline.

In float32, and nothing is clipped or rounded: brightness and contrast bring pixels to -48..431 before they are normalized.
Saturation and hue are those of OpenCV's HSV for float images, whose formulas also say what becomes of a color below 0.
`data/distortion.py` draws the numbers.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dima_jax.types import Distortion

EPSILON = float(np.finfo(np.float32).eps)  # as OpenCV has it in both divisions
Plane = Float[Array, "n H W"]


def distort(pixels: Float[Array, "n H W 3"], how: Distortion) -> Float[Array, "n H W 3"]:
    """Gray levels to gray levels; `how` has one leading axis n. All images pass the color steps, as in VAD."""
    brightness, contrast, saturation, hue, last_contrast = how.amounts.T[..., None, None]
    planes = [(pixels[..., i] + brightness) * contrast for i in range(3)]
    degrees, strength, value = to_hsv(*planes)
    planes = from_hsv(degrees + hue, strength * saturation, value)
    first, second, third = (plane * last_contrast for plane in planes)
    sources = how.channels.T[..., None, None]
    planes = [jnp.where(source == 0, first, jnp.where(source == 1, second, third)) for source in sources]
    return jnp.where(how.mask[:, None, None, None], jnp.stack(planes, axis=-1), pixels)


def to_hsv(red: Plane, green: Plane, blue: Plane) -> tuple[Plane, Plane, Plane]:
    """Hue in degrees, -60 to 300; saturation (max - min) / |max|; value max. The names are those of an RGB image."""
    value = jnp.maximum(jnp.maximum(red, green), blue)
    spread = value - jnp.minimum(jnp.minimum(red, green), blue)
    per_level = 60.0 / (spread + EPSILON)
    from_green, from_blue = (blue - red) * per_level + 120.0, (red - green) * per_level + 240.0
    hue = jnp.where(value == red, (green - blue) * per_level, jnp.where(value == green, from_green, from_blue))
    return hue, spread / (jnp.abs(value) + EPSILON), value


def from_hsv(hue: Plane, saturation: Plane, value: Plane) -> tuple[Plane, Plane, Plane]:
    """The inverse, for any hue in degrees: each channel is `value` in two of the six sectors, least in two, between in two."""
    sector, depth = hue / 60.0, value * saturation

    def channel(start: int) -> Plane:
        place = jnp.mod(start + sector, 6.0)
        return value - depth * jnp.clip(jnp.minimum(place, 4.0 - place), 0.0, 1.0)

    return channel(5), channel(3), channel(1)
