"""The memory of decoded frames: what has room stays, the least recently used goes."""

import numpy as np
import pytest

from dima_jax.data.frames import Frames
from dima_jax.data.records import Records

IMAGES = 6 * 64 * 96 * 3  # bytes of a frame


@pytest.fixture
def make(config):
    def make(cache_bytes, derive=None):
        data = config.data
        options = (data.cameras, data.image_scale, data.valid_shape, data.image_shape, data.color_order)
        return Frames(Records(data.path, "train"), *options, cache_bytes / 2**30, derive=derive)

    return make


def test_a_frame_with_room_is_decoded_once(make):
    frames = make(2.5 * IMAGES)
    first = frames[0]
    assert frames[1] is frames[1] and frames[0] is first
    frames[2]  # 1 was used longer ago than 0
    assert frames[0] is first
    frames[1]
    frames[2]
    assert frames[0] is not first
    np.testing.assert_array_equal(frames[0].images, first.images)


def test_nothing_stays_without_room(make):
    frames = make(0)
    assert frames[0] is not frames[0]


def test_what_is_derived_is_kept_and_takes_room(make):
    calls = []

    def derive(record):
        calls.append(record["sample_token"])
        return {"half of the room": np.zeros(IMAGES, np.uint8), "name": record["sample_token"]}

    frames = make(2.5 * IMAGES, derive)
    assert frames[0].derived["name"] == frames[0].record["sample_token"] == calls[0] and len(calls) == 1
    frames[1]
    frames[0]
    assert len(calls) == 3
