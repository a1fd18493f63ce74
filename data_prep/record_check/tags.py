"""Object tags of the questions: their pixels against the image's size and against the boxes in that image."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from data_prep import qa
from data_prep.record_check import rules
from data_prep.record_check.projection import NEAR, Rig, project
from data_prep.record_check.rules import Rule
from dima_jax.metrics import polygons

# DriveLM's questions about what has no box: signs and lights. The second is about them if its answer is "Yes."
WHICH_SIGN, IS_SIGN = "What kind of traffic sign is ", " a traffic sign or a road barrier?"
MARGIN = 16.0  # pixels of qa.IMAGE_SIZE around a box
ON_BOX, FEWEST = 0.5, 20  # share of a camera's tags in a scene that are on a box; tags that tell


class Tagged(NamedTuple):
    """How many tags of a camera there are, and how many are on a box."""

    tags: int
    on_box: int


def corners(boxes: Float[np.ndarray, "n 9"]) -> Float[np.ndarray, "n 8 3"]:
    """Of boxes (cx, cy, cz, w, l, h, yaw_box, vx, vy): the floor, then the roof, each around."""
    boxes = np.asarray(boxes, np.float64)
    flat = polygons.corners(np.stack([*boxes[:, :2].T, -boxes[:, 6] - np.pi / 2, boxes[:, 4], boxes[:, 3]], axis=1))
    heights = boxes[:, 2, None] + boxes[:, 5, None] * np.array([-0.5, 0.5])
    level = np.broadcast_to(heights[:, :, None, None], (len(boxes), 2, 4, 1))
    return np.concatenate([np.broadcast_to(flat[:, None], (len(boxes), 2, 4, 2)), level], axis=-1).reshape(-1, 8, 3)


def named(frame: dict) -> list[str]:
    """The object tags of a key frame's questions and answers, each once."""
    return qa.tags([*frame["qa"]["questions"], *frame["qa"]["answers"]])


def without_box(frame: dict) -> set[str]:
    """The tags of a key frame that its questions say to be traffic signs, lights or barriers."""
    pairs = zip(frame["qa"]["questions"], frame["qa"]["answers"], strict=True)
    signs = [q for q, a in pairs if q.startswith(WHICH_SIGN) or (q.endswith(IS_SIGN) and a.startswith("Yes"))]
    return set(qa.tags(signs))


def problems(found: list[str]) -> Iterator[tuple[Rule, str]]:
    """Tags of a key frame that say nothing, and those outside of the image. found: all of them, each once."""
    text = " ".join(found)
    yield from ((rules.TAG, f"tag {tag} {problem}") for tag, problem in qa.tag_problems(text))
    width, height = qa.IMAGE_SIZE
    for tag in qa.outside_image(text):
        yield rules.OUTSIDE, f"tag {tag} is outside of the image of {width} x {height}"


def on_boxes(found: list[str], boxes: Float[np.ndarray, "n 9"], rig: Rig) -> dict[str, Tagged]:
    """{camera: its tags, of which so many lie on the rectangle around a projected box}; {} for a frame without boxes."""
    pixels = [pixel for pixel in qa.pixels(" ".join(found)) if pixel.camera in rig.names]
    if not pixels or not len(boxes):
        return {}
    low, high = rectangles(boxes, rig)
    camera = np.array([rig.names.index(pixel.camera) for pixel in pixels])
    at = np.array([(pixel.x, pixel.y) for pixel in pixels])[:, None]
    hit = ((at >= low[camera] - MARGIN) & (at <= high[camera] + MARGIN)).all(axis=-1).any(axis=-1)
    counts = zip(np.bincount(camera).tolist(), np.bincount(camera, hit).astype(int).tolist(), strict=True)
    return {rig.names[number]: Tagged(*one) for number, one in enumerate(counts) if one[0]}


def rectangles(
    boxes: Float[np.ndarray, "n 9"], rig: Rig
) -> tuple[Float[np.ndarray, "N n 2"], Float[np.ndarray, "N n 2"]]:
    """Least and largest pixels of boxes in every camera, scaled to qa.IMAGE_SIZE; corners behind the camera do not count."""
    pixels, depth = project(corners(boxes).reshape(-1, 3), rig.lidar2img)
    scale = qa.IMAGE_SIZE / np.maximum(rig.sizes, 1.0)
    pixels = (pixels * scale[:, None]).reshape(len(rig.names), len(boxes), 8, 2)
    ahead = (depth > NEAR).reshape(len(rig.names), len(boxes), 8, 1)
    return np.where(ahead, pixels, np.inf).min(axis=2), np.where(ahead, pixels, -np.inf).max(axis=2)


def scene_problems(found: dict[str, Tagged]) -> Iterator[tuple[Rule, str]]:
    """Cameras whose tags in a scene miss the boxes."""
    for camera, (count, hits) in found.items():
        if count >= FEWEST and hits < ON_BOX * count:
            yield rules.ON_BOX, f"{hits} of {count} tags of {camera} are on a box"
