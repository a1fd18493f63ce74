"""What a field of a table may hold: a test of one value, and a fast one of a whole column.

Columns come as lists of what JSON gives; a column that fits is packed into a numpy array where later parts need it.
Strings are packed as Python's 64-bit hashes, which tell 2.6 million tokens apart with a chance of 2e-7 to be wrong.
"""

import itertools
import math
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

UNIT = 1e-3  # tolerance of a quaternion's norm
FARTHEST = 1e8  # meters of a global coordinate
LARGEST = 200.0  # meters of a box's side
LATEST = 2**62  # of a time in microseconds, and of any count
SUSPICIOUS = re.compile(r"(?:^|\n)[/\n]|\.\.|\\|\0|//|\n\Z")


class Field(NamedTuple):
    """fits: whether one value is right; pack: the array of a column whose values are right, None if one may be wrong;
    words: what a value should be. target: the table that a token, or a list of tokens, is of; may_be_empty: "" too;
    is_open: tokens of rows that are not there are right, too.
    """

    words: str
    fits: Callable[[object], bool]
    pack: Callable[[list], np.ndarray | tuple[np.ndarray, np.ndarray] | None]
    target: str = ""
    may_be_empty: bool = False
    is_list: bool = False
    is_open: bool = False


def hashes(texts: list[str]) -> np.ndarray:
    """[n] int64: what stands for a string in a column."""
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def is_text(value) -> bool:
    """Whether it is a string, and one that a file can hold: JSON may name half a character."""
    return type(value) is str and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_word(value) -> bool:
    return is_text(value) and value != "" and "/" not in value and value.isprintable()


def is_inside(value) -> bool:
    """Whether it is a file name relative to the root that stays below it."""
    if not is_text(value) or not value.isprintable() or "\\" in value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and bool(path.parts) and ".." not in path.parts


def numbers_of(value, count: int) -> list[float] | None:
    """A list of so many finite numbers, None for anything else."""
    if type(value) is not list or len(value) != count or not all(type(n) in (int, float) for n in value):
        return None
    try:
        return [float(n) for n in value] if all(map(math.isfinite, value)) else None
    except OverflowError:
        return None


def _pack_text(values: list) -> np.ndarray | None:
    if set(map(type, values)) - {str}:
        return None
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return None
    return hashes(values)


def pack_vectors(values: list, count: int) -> np.ndarray | None:
    """[n, count] float64 of lists of so many finite numbers; None if one may be something else."""
    if set(map(type, values)) - {list} or set(map(len, values)) - {count}:
        return None
    flat = list(itertools.chain.from_iterable(values))
    if set(map(type, flat)) - {int, float}:
        return None
    try:
        packed = np.array(flat, np.float64).reshape(-1, count)
    except OverflowError:
        return None
    return packed if np.isfinite(packed).all() else None


def _pack_if_each(fits: Callable[[object], bool], pack: Callable[[list], np.ndarray]):
    return lambda values: pack(values) if all(map(fits, values)) else None


def text() -> Field:
    return Field("a text", is_text, _pack_text)


def one_of(*words: str) -> Field:
    fits = words.__contains__
    return Field(" or ".join(map(repr, words)), fits, _pack_if_each(fits, hashes))


def word() -> Field:
    """A name that becomes part of file names."""
    return Field("a name without / and control characters", _is_word, _pack_if_each(_is_word, hashes))


def token(target: str = "", may_be_empty: bool = False) -> Field:
    def pack(values: list) -> np.ndarray | None:
        packed = _pack_text(values)
        return None if packed is None or (not may_be_empty and "" in values) else packed

    fits = is_text if may_be_empty else lambda value: is_text(value) and value != ""
    return Field(f"a token of {target}.json" if target else "a token", fits, pack, target, may_be_empty)


def tokens(target: str, is_open: bool = False) -> Field:
    def fits(value) -> bool:
        return type(value) is list and all(map(is_text, value))

    def pack(values: list) -> tuple[np.ndarray, np.ndarray]:
        """How many tokens each row has, and all of them."""
        counts = np.fromiter(map(len, values), np.int64, len(values))
        return counts, hashes(list(itertools.chain.from_iterable(values)))

    return Field(
        f"a list of tokens of {target}.json", fits, _pack_if_each(fits, pack), target, is_list=True, is_open=is_open
    )


def file_name() -> Field:
    def pack(values: list) -> np.ndarray | None:
        packed = _pack_text(values)
        if packed is None:
            return None
        joined = "\n".join(values)
        is_plain = joined.count("\n") == len(values) - 1 and not SUSPICIOUS.search(joined)
        return packed if is_plain or all(map(is_inside, values)) else None

    return Field("the name of a file below the root", is_inside, pack)


def whole(low: int, high: int = LATEST) -> Field:
    """A whole number of [low, high]."""
    kept = np.int32 if high < 2**31 else np.int64

    def pack(values: list) -> np.ndarray | None:
        if set(map(type, values)) - {int}:
            return None
        try:
            packed = np.array(values, np.int64)
        except OverflowError:
            return None
        return packed.astype(kept) if packed.min() >= low and packed.max() <= high else None

    return Field(f"a whole number from {low}", lambda value: type(value) is int and low <= value <= high, pack)


def flag() -> Field:
    def pack(values: list) -> np.ndarray | None:
        return None if set(map(type, values)) - {bool} else np.array(values)

    return Field("true or false", lambda value: type(value) is bool, pack)


def _vector(words: str, count: int, is_right: Callable[[np.ndarray], np.ndarray], kept: type = np.float64) -> Field:
    """is_right: of [n, count] numbers, [n] bool; kept: the type of the packed numbers."""

    def fits(value) -> bool:
        found = numbers_of(value, count)
        return found is not None and bool(is_right(np.array([found]))[0])

    def pack(values: list) -> np.ndarray | None:
        packed = pack_vectors(values, count)
        return packed.astype(kept) if packed is not None and is_right(packed).all() else None

    return Field(words, fits, pack)


def position() -> Field:
    return _vector("three finite numbers (meters)", 3, lambda found: (np.abs(found) < FARTHEST).all(1))


def quaternion() -> Field:
    words = "a unit quaternion (w, x, y, z)"
    return _vector(words, 4, lambda found: np.abs((found**2).sum(1) - 1) < 2 * UNIT, np.float32)


def size() -> Field:
    words = f"three sides of more than 0 and at most {LARGEST:.0f} m"
    return _vector(words, 3, lambda found: ((found > 0) & (found <= LARGEST)).all(1))


def intrinsic() -> Field:
    """[] of a sensor that is no camera, or [[fx, s, cx], [0, fy, cy], [0, 0, 1]]."""

    def fits(value) -> bool:
        if value == []:
            return type(value) is list
        if type(value) is not list or len(value) != 3 or any(numbers_of(line, 3) is None for line in value):
            return False
        return value[0][0] > 0 and value[1][1] > 0 and value[1][0] == 0 and value[2] == [0, 0, 1]

    def pack(values: list) -> np.ndarray:
        """[n, 3, 3], NaN for a sensor without."""
        return np.array([value or [[math.nan] * 3] * 3 for value in values], np.float64).reshape(-1, 3, 3)

    return Field("[], or a 3 x 3 matrix of a pinhole camera", fits, _pack_if_each(fits, pack))
