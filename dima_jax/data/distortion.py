"""The random numbers of VAD's photometric distortion (PhotoMetricDistortionMultiViewImage; docs/vad.md#image-preparation).

They are drawn here, on the host, with a window's other choices, so that a window is the same whenever it is read; the
pixels change on the device (`student/photometric.py`).
"""

import numpy as np

from dima_jax.types import Distortion

# Brightness (gray levels), contrast, saturation, hue (degrees).
LOW = np.float32([-32, 0.5, 0.5, -18])
HIGH = np.float32([32, 1.5, 1.5, 18])
NONE = np.float32([0, 1, 1, 0])
COINS = len(NONE) + 2  # one for each of them, for the place of the contrast and for the shuffle of the channels


def draw(rng, distorted: int, frames: int, cameras: int, color_order: str) -> Distortion:
    """The distortion of a window [frames, cameras, ...], of which the first `distorted` frames have one.

    rng: numpy Generator. Every step has probability 1/2 in every image. color_order: "rgb"
    or "bgr", of the images; hue turns their colors the same way.
    """
    shape = (distorted, cameras)
    *steps, is_last, is_shuffled = np.moveaxis(rng.random((*shape, COINS)) < 0.5, -1, 0)
    drawn = rng.uniform(LOW, HIGH, (*shape, len(NONE))).astype(np.float32)
    shuffled = rng.random((*shape, 3)).argsort(axis=-1)
    brightness, contrast, saturation, hue = np.moveaxis(np.where(np.stack(steps, -1), drawn, NONE), -1, 0)
    amounts = np.stack(
        [
            brightness,
            np.where(is_last, 1, contrast),
            saturation,
            hue if color_order == "rgb" else -hue,
            np.where(is_last, contrast, 1),
        ],
        axis=-1,
    )
    channels = np.where(is_shuffled[..., None], shuffled, np.arange(3))
    rest = ((0, frames - distorted), (0, 0))
    return Distortion(
        amounts=np.pad(amounts.astype(np.float32), (*rest, (0, 0))),
        channels=np.pad(channels.astype(np.int32), (*rest, (0, 0))),
        mask=np.pad(np.ones(shape, bool), rest),
    )
