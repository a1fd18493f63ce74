"""A file of edits comes back as it was written, and what is none is refused in one line."""

import re

import numpy as np
import pytest

from dima_jax.constants import CAMERAS
from dima_jax.errors import UserError
from dima_jax.scoring import edits_file, npz_file

SITES = 2
BOXES = np.arange(20, dtype=np.float32).reshape(SITES, 2, 5) + 1
JPEGS = [f"file {i}".encode() for i in range(SITES * int(np.prod(edits_file.SHAPE)))]


def saved(folder):
    path = folder / "edits.npz"
    edits_file.save(path, ["a", "b"], BOXES, [7, 8], JPEGS, {"data": "miniworld"})
    return path


def test_round_trip(tmp_path):
    found = edits_file.load(saved(tmp_path))
    assert found.tokens == ["a", "b"] and found.header["source"] == {"data": "miniworld"}
    np.testing.assert_array_equal(found.boxes, BOXES)
    assert found.recorded_crc.tolist() == [7, 8]
    files = [
        file
        for site in range(SITES)
        for kind in range(len(edits_file.KINDS))
        for frame in range(edits_file.FRAMES)
        for file in found.jpegs(site, kind, frame)
    ]
    assert files == JPEGS and len(found.jpegs(1, 1, 2)) == len(CAMERAS)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tokens", np.array(["a", "a"]), "tokens are no list of texts, each once"),
        ("tokens", np.array(["a", "b", "c"]), "boxes is float32 [2, 2, 5], not [3, 2, 5] for 3 sites"),
        ("boxes", np.full((2, 2, 5), np.nan, np.float32), "boxes hold a number that is not finite"),
        ("boxes", -BOXES, "a size that is not positive"),
        ("recorded_crc", np.zeros(2), "recorded_crc is float64 [2]"),
        ("image_start", np.zeros(SITES * 36 + 1, np.int64), "image_start does not divide images"),
        ("images", np.zeros((2, 2), np.uint8), "images is no row of bytes"),
        ("more", np.zeros(2), "'more' is missing or not known"),
    ],
)
def test_what_is_none(tmp_path, key, value, words):
    path = saved(tmp_path)
    arrays, header = npz_file.read(path, edits_file.FORMAT, edits_file.VERSION)
    npz_file.write(path, arrays | {key: value}, header)
    with pytest.raises(UserError, match=re.escape(words)):
        edits_file.load(path)


def test_what_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="image_start is"):
        edits_file.save(tmp_path / "edits.npz", ["a", "b"], BOXES, [7, 8], JPEGS[:-1], {})
