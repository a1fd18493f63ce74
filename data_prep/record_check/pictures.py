"""A share of the images, decoded as a whole: what a marker at the end of the file and a small preview do not show."""

import cv2
import numpy as np
from jaxtyping import Bool

from data_prep.record_check import rules
from data_prep.record_check.rules import Rule

GRAY = 128  # what decoders fill in for blocks that are missing
END = (slice(-3, None), slice(-8, None))  # within the last block of an image, also where the image ends within it
LEAST_CONTRAST = 8  # levels between the darkest and the brightest value


def chosen(frames: int, cameras: int, share: float, seed: int) -> Bool[np.ndarray, "frames cameras"]:
    """Which images are decoded; the same for the same arguments."""
    return np.random.default_rng(seed).random((frames, cameras)) < share


def problem(data: bytes) -> tuple[Rule, str] | None:
    """What is wrong with a JPEG file, None for a picture."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        return rules.IMAGE, "JPEG does not decode"
    if int(image.max()) - int(image.min()) < LEAST_CONTRAST:
        return rules.UNIFORM, f"the image is of one color ({', '.join(map(str, image[0, 0, ::-1].tolist()))} in RGB)"
    if (image[END] == GRAY).all():
        rows = int(np.argmin((image == GRAY).all(axis=(1, 2))[::-1]))
        return rules.IMAGE, f"truncated JPEG: its end is gray ({rows} of {len(image)} rows)"
    return None
