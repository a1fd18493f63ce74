"""Files damaged as disks, downloads and people damage them, by a fixed seed, and what a reader does with them."""

import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from dima_jax.errors import UserError

LONGEST = 5.0  # seconds of work that a reader may take


def damaged(content: bytes, rng: np.random.Generator, region: int | None = None) -> bytes:
    """The content with one fault in its first `region` bytes: a bit, a byte, a hole, a cut, an insertion, a swap."""
    size = min(region or len(content), len(content))
    a, b = sorted(rng.integers(0, size, 2))
    kind = rng.integers(7)
    if kind == 0:
        return content[:a] + bytes([content[a] ^ (1 << rng.integers(8))]) + content[a + 1 :]
    if kind == 1:
        return content[:a] + rng.bytes(1) + content[a + 1 :]
    if kind == 2:
        length = min(int(rng.integers(1, 64)), len(content) - a)
        return content[:a] + bytes(length) + content[a + length :]
    if kind == 3:
        return content[:a]
    if kind == 4:
        return content[:a] + rng.bytes(int(rng.integers(1, 16))) + content[a:]
    if kind == 5:
        return content[:a] + b"\xff" * 8 + content[a + 8 :]
    return content[:a] + content[b : b + 8] + content[a + 8 : b] + content[a : a + 8] + content[b + 8 :]


def survey(content: bytes, read: Callable[[bytes], bool], count: int, seed: int, region: int | None = None) -> Counter:
    """How many of `count` damaged copies were refused with one line, and how many were read and gave the same.

    read: whether a content, once read, gives what the undamaged one gives. AssertionError, with the number of the copy,
    for one that gives something else, takes too long or raises anything but UserError.
    """
    assert read(content), "the whole file is not read as it is"
    found, rng = Counter(), np.random.default_rng(seed)
    for number in range(count):
        copy = damaged(content, rng, region)
        start = time.process_time()
        try:
            same = read(copy)
        except UserError as error:
            assert len(str(error).splitlines()) == 1, (number, str(error))
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"copy {number} of seed {seed} raises {error!r}") from error
        else:
            assert same, f"copy {number} of seed {seed} is read as something else"
            found["read, the same"] += 1
        assert time.process_time() - start < LONGEST, f"copy {number} of seed {seed} takes too long"
    print(dict(found))
    return found


def same_arrays(found: dict, expected: dict) -> bool:
    """Whether two dicts of arrays have the same names, dtypes, shapes and bytes."""
    return found.keys() == expected.keys() and all(
        (found[key].dtype, found[key].shape, found[key].tobytes()) == (value.dtype, value.shape, value.tobytes())
        for key, value in expected.items()
    )
