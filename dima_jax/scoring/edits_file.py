"""Recorded scenes with one vehicle painted into their images (`dima_jax.edits`): what `edit_reaction` reads.

A site is a key frame of a data set. At each site there is an edit of each of KINDS: the six images of the site and of
the FRAMES - 1 key frames before, in all of which the vehicle stands at the same place of the world.
`python -m data_prep.miniworld.edit` makes the file for the mini world; any editor of images may write one.

n sites, K kinds. Boxes: x, y, heading, length, width in the LiDAR frame of the site (x right, y forward), meters, radians.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt

from dima_jax.constants import CAMERAS
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file

FORMAT, VERSION = "dima_jax.edits", 1
KINDS = ("in the way", "away")  # on the recorded path of the next seconds; clear of it
FRAMES = 3
SHAPE = (len(KINDS), FRAMES, len(CAMERAS))  # of the images of a site
REMEDY = "make it again with data_prep.miniworld.edit"


class Edits(NamedTuple):
    """The edits of n sites. tokens: of the sites' key frames. recorded_crc: zlib.crc32 of the file of CAM_FRONT as it is
    recorded there, so that edits of another world are noticed. images, image_start: all JPEG files in a row, and where
    each starts, in the order of sites, KINDS, frames in order of time, CAMERAS.
    """

    header: dict
    tokens: list[str]
    boxes: Float[np.ndarray, "n K 5"]
    recorded_crc: UInt[np.ndarray, " n"]
    images: UInt[np.ndarray, " bytes"]
    image_start: Int[np.ndarray, " images_and_end"]

    def jpegs(self, site: int, kind: int, frame: int) -> list[bytes]:
        """Six files in the order of CAMERAS."""
        first = np.ravel_multi_index((site, kind, frame, 0), (len(self.tokens), *SHAPE))
        ends = self.image_start[first : first + len(CAMERAS) + 1].tolist()
        return [self.images[a:b].tobytes() for a, b in pairwise(ends)]


def save(
    path: str | Path,
    tokens: Sequence[str],
    boxes: Float[np.ndarray, "n K 5"],
    recorded_crc: Sequence[int],
    jpegs: Sequence[bytes],
    source: dict,
) -> None:
    """Writes a file of edits. jpegs: all files in the order of `Edits.images`; source: what they were made from."""
    arrays = {
        "tokens": np.array(list(tokens), str),
        "boxes": np.asarray(boxes, np.float32),
        "recorded_crc": np.array(list(recorded_crc), np.uint32),
        "images": np.frombuffer(b"".join(jpegs), np.uint8),
        "image_start": np.cumsum([0, *map(len, jpegs)]),
    }
    if problem := _problem(arrays):
        raise ValueError(problem)
    npz_file.write(path, arrays, {"format": FORMAT, "version": VERSION, "source": source})


def load(path: str | Path) -> Edits:
    """The edits of a file. UserError for a file that is not one, is of a later version, or is damaged."""
    arrays, header = npz_file.read(path, FORMAT, VERSION)
    if problem := _problem(arrays):
        raise UserError(f"{path}: {problem}; {REMEDY}")
    return Edits(header, arrays.pop("tokens").tolist(), **arrays)


def _problem(arrays: npz_file.Arrays) -> str:
    """What makes arrays no edits; "" if nothing."""
    if odd := sorted(set(arrays) ^ (set(Edits._fields) - {"header"})):
        return f"{odd[0][:60]!r} is missing or not known"
    tokens, boxes, starts = arrays["tokens"], arrays["boxes"], arrays["image_start"]
    if tokens.ndim != 1 or tokens.dtype.kind != "U" or len(np.unique(tokens)) != len(tokens):
        return "tokens are no list of texts, each once"
    if arrays["images"].ndim != 1 or arrays["images"].dtype != np.uint8:
        return "images is no row of bytes"
    count = len(tokens)
    for key, shape, kind in (
        ("boxes", (count, len(KINDS), 5), "f"),
        ("recorded_crc", (count,), "u"),
        ("image_start", (count * int(np.prod(SHAPE)) + 1,), "i"),
    ):
        if arrays[key].shape != shape or arrays[key].dtype.kind != kind:
            return f"{key} is {arrays[key].dtype} {list(arrays[key].shape)}, not {list(shape)} for {count} sites"
    if not np.isfinite(boxes).all() or (boxes[..., 3:] <= 0).any():
        return "boxes hold a number that is not finite, or a size that is not positive"
    if starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] != len(arrays["images"]):
        return "image_start does not divide images"
    return ""
