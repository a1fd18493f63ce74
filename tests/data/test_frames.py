"""The memory of decoded frames: what has room stays, the least recently used goes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dima_jax.data.frames import Frames
from dima_jax.data.records import Records
from dima_jax.errors import UserError

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


def test_threads_that_want_one_frame_decode_it_once(make):
    calls = []

    def derive(record):
        calls.append(record["sample_token"])
        time.sleep(0.05)

    frames = make(0, derive)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(frames.__getitem__, [0] * 4))
    assert len(calls) == 1 and all(frame is found[0] for frame in found)


def test_every_thread_hears_of_a_frame_that_cannot_be_read(make):
    calls, may_go = [], threading.Event()

    def derive(record):
        calls.append(record["sample_token"])
        may_go.wait(20)
        raise UserError(record["sample_token"])

    frames = make(0, derive)
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(frames.__getitem__, 0) for _ in range(2)]
        while not all(task.running() for task in tasks):
            time.sleep(0.01)
        time.sleep(0.2)
        may_go.set()
    assert [type(task.exception()) for task in tasks] == [UserError] * 2 and len(calls) == 1


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
