"""Files of plans, from whatever planner: npz, JSON or pickle; docs/scores/predictions.md describes them.

A file with a header says all that is needed to score it; a bare file, {sample token: plan}, needs `frame` from the
caller. What cannot be scored is refused by its tokens; which frames should be there, `align.py` knows.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.constants import STEP_SECONDS
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, pickles

FORMAT, VERSION = "dima_jax.predictions", 1
FRAMES = ("lidar", "ego")
STEPS = 6
FARTHEST = 1000.0  # meters; nothing drives farther in 3 s
START = 0.01  # meters that an included start may be away from the origin
REQUIRED = ("frame", "steps", "start_included")  # of a header


class Predictions(NamedTuple):
    """The plans of one file, in its frame: meters, and radians where there is a third number.

    file: its name, "" for a planner that is none. seed: of the training, None where the file does not say. header: what
    else the file says of its planner.
    """

    planner: str
    file: str
    frame: str
    tokens: list[str]
    plans: Float[np.ndarray, "n 6 D"]  # D = 2 or 3
    seed: int | None
    header: dict


class Raw(NamedTuple):
    """What a file holds: arrays of all frames, or one value for each token."""

    header: dict | None
    tokens: list[str]
    values: Any


def write(path: str | Path, tokens: Iterable[str], arrays: npz_file.Arrays, header: dict) -> None:
    """Writes a file of plans. arrays: `plans` [n, 6, 2 or 3], or `modes` [n, M, 6, 2 or 3] with `chosen` [n].

    header: planner, frame, and what else is known of it (seed, checkpoint, step, commit, data_hash, given).
    """
    told = {"format": FORMAT, "version": VERSION, "steps": STEPS, "step_seconds": STEP_SECONDS, "start_included": False}
    npz_file.write(path, {"tokens": np.array(list(tokens), str), **arrays}, told | header)


def load(path: str | Path, frame: str | None = None, start_included: bool = False) -> Predictions:
    """The plans of a file. frame, start_included: of a bare file; a header that says something else is an error.

    Raises UserError, with the first tokens, for duplicates, wrong shapes, what is no finite number or is too far away.
    """
    path = Path(path)
    raw = _read(path)
    header = _header(path, raw, frame, start_included)
    _refuse(path, raw, _repeated(raw.tokens), "stand twice", "give each frame one plan")
    plans = _plans(path, raw, header)
    _check(path, raw, plans)
    if header["start_included"]:
        off = np.linalg.norm(plans[:, 0, :2], axis=-1) > START
        _refuse(path, raw, _of(raw.tokens, off), f"do not start within {START} m of 0", "leave out --start_included")
        plans = plans[:, 1:]
    seed = header.get("seed")
    return Predictions(
        header["planner"], path.name, header["frame"], raw.tokens, plans, seed if type(seed) is int else None, header
    )


def named(tokens: list[str]) -> str:
    """The first three of the tokens, and how many more there are."""
    shown = ", ".join(repr(token)[1:-1][:60] for token in tokens[:3])
    return f"{shown} and {len(tokens) - 3:,} more" if len(tokens) > 3 else shown


def _refuse(path: Path, raw: Raw, tokens: list[str], why: str, remedy: str) -> None:
    if tokens:
        raise UserError(f"{path}: {len(tokens):,} of {len(raw.tokens):,} plans {why}: {named(tokens)}; {remedy}")


def _of(tokens: list[str], is_bad: Bool[np.ndarray, " n"]) -> list[str]:
    return [tokens[i] for i in np.flatnonzero(is_bad)]


def _repeated(tokens: list[str]) -> list[str]:
    seen, twice = set(), {}
    for token in tokens:
        if token in seen:
            twice[token] = None
        seen.add(token)
    return list(twice)


def _read(path: Path) -> Raw:
    """By what the file is, not by its name: a zip is npz, a brace JSON, the rest a pickle."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a file of plans: .npz, .json or .pkl") from None
    if start.startswith(b"PK"):
        return _npz(path)
    return _mapping(path, _json(path) if start.startswith(b"{") else pickles.read(path))


def _npz(path: Path) -> Raw:
    if npz_file.HEADER not in (found := npz_file.members(path, FORMAT)):
        return Raw(None, list(found), list(found.values()))
    arrays, header = npz_file.read(path, FORMAT, VERSION)
    tokens = arrays.get("tokens")
    if tokens is None or tokens.dtype.kind != "U" or tokens.ndim != 1:
        raise UserError(f"{path}: tokens is no list of texts; write it as numpy.array(tokens)")
    return Raw(header, tokens.tolist(), arrays)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({str(error)[:100]}); write it again") from None


class _Pairs(list):
    """Keys and values of a JSON object, some of them perhaps twice."""


def _mapping(path: Path, found: Any) -> Raw:
    pairs = found if isinstance(found, _Pairs) else list(found.items()) if isinstance(found, Mapping) else None
    if pairs is None:
        raise UserError(f"{path} is no table of plans by token; docs/scores/predictions.md says how to make one")
    header = None
    if "format" in (keys := [key for key, _ in pairs]):
        header = dict(pairs)
        number = header.get("version")
        if header["format"] != FORMAT or type(number) is not int or number > VERSION:
            raise UserError(
                f"{path} is of the format {header['format']!r:.60}, version {number!r:.20}; give {FORMAT}, {VERSION}"
            )
        pairs = header.pop("predictions", None)
        pairs = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
        if not isinstance(pairs, list) or not all(isinstance(one, tuple) for one in pairs):
            raise UserError(f"{path} has no table `predictions` of plans by token; write it again")
        header = {key: _plain(value) for key, value in header.items()}
        keys = [key for key, _ in pairs]
    if not all(isinstance(key, str) for key in keys):
        raise UserError(f"{path} has keys that are no texts; give sample tokens")
    return Raw(header, keys, [value for _, value in pairs])


def _plain(value: Any) -> Any:
    """JSON's objects as dicts."""
    return {key: _plain(item) for key, item in value} if isinstance(value, _Pairs) else value


def _header(path: Path, raw: Raw, frame: str | None, start_included: bool) -> dict:
    """The header that the file has or, by what the caller says, should have had."""
    if not raw.tokens:
        raise UserError(f"{path} holds no plan; give a file of plans by token")
    if raw.header is None:
        if frame is None:
            raise UserError(f"{path} does not say whose origin its plans are of; give --frame=lidar or --frame=ego")
        return {"planner": path.stem, "frame": frame, "steps": STEPS, "start_included": start_included}
    header = raw.header
    if missing := [key for key in REQUIRED if key not in header]:
        raise UserError(f"{path}: the header lacks {', '.join(missing)}; docs/scores/predictions.md explains them")
    if header["frame"] not in FRAMES:
        raise UserError(f"{path}: frame is {header['frame']!r:.40}; say 'lidar' or 'ego'")
    if frame is not None and frame != header["frame"]:
        raise UserError(f"{path} says frame {header['frame']!r}, --frame={frame}; leave out --frame")
    if type(header["start_included"]) is not bool:
        raise UserError(f"{path}: start_included is {header['start_included']!r:.40}; say true or false")
    if start_included and not header["start_included"]:
        raise UserError(f"{path} says that its plans hold no start; leave out --start_included")
    for key, expected in (("steps", STEPS), ("step_seconds", STEP_SECONDS)):
        if header.get(key, expected) != expected:
            raise UserError(f"{path}: {key} is {header[key]!r:.40}; scored are {STEPS} steps of {STEP_SECONDS} s")
    if not isinstance(header.get("given") or {}, dict):
        raise UserError(f"{path}: given is {header['given']!r:.40}; say what the planner is told, as a table")
    planner = header.get("planner") or path.stem
    if not isinstance(planner, str):
        raise UserError(f"{path}: planner is {planner!r:.40}; give its name")
    return header | {"planner": planner}


def _plans(path: Path, raw: Raw, header: dict) -> Float[np.ndarray, "n T D"]:
    """The plans, T rows each; those of several modes by the one that is chosen."""
    rows = header["steps"] + header["start_included"]
    if isinstance(raw.values, dict):
        return _of_arrays(path, raw, rows)
    chosen = []
    for value in raw.values:
        if isinstance(value, _Pairs):
            value = _plain(value)
        chosen.append(_mode(value) if isinstance(value, dict) else value)
    plans = [_array(one) for one in chosen]
    shapes = [None if one is None else one.shape for one in plans]
    fits = [(rows, 2), (rows, 3)]
    counts = Counter(shape for shape in shapes if shape in fits)
    expected = counts.most_common(1)[0][0] if counts else fits[0]
    hint = "; 7 rows that begin at 0 need --start_included" if (7, 2) in shapes or (7, 3) in shapes else ""
    wrong = [token for token, shape in zip(raw.tokens, shapes, strict=True) if shape != expected]
    remedy = f"give {expected[0]} rows of x, y or x, y, heading, the same in all{hint}"
    found = next((shape for shape in shapes if shape != expected), None)
    what = "something else" if found is None else list(found)
    _refuse(path, raw, wrong, f"are no {list(expected)} numbers but {what}", remedy)
    return np.stack(plans)


def _of_arrays(path: Path, raw: Raw, rows: int) -> Float[np.ndarray, "n T D"]:
    """From the arrays `plans`, or `modes` and `chosen`, of a file with a header."""
    name = "modes" if "modes" in raw.values else "plans"
    plans, count = raw.values.get(name), len(raw.tokens)
    expected = f"[{count}, {'M, ' if name == 'modes' else ''}{rows}, 2 or 3]"
    if (
        plans is None
        or plans.dtype.kind not in "fiu"
        or plans.ndim != (4 if name == "modes" else 3)
        or (len(plans), plans.shape[-2]) != (count, rows)
        or plans.shape[-1] not in (2, 3)
    ):
        shape = None if plans is None else list(plans.shape)
        raise UserError(f"{path}: {name} is {shape}, first token {named(raw.tokens[:1])}; give {expected} numbers")
    if name == "plans":
        return plans.astype(np.float64)
    chosen: Int[np.ndarray, " n"] | None = raw.values.get("chosen")
    if chosen is None or chosen.shape != (count,) or chosen.dtype.kind not in "iu":
        raise UserError(f"{path}: modes without their numbers `chosen` [{count}]; give which of the modes is the plan")
    outside = (chosen < 0) | (chosen >= plans.shape[1])
    _refuse(path, raw, _of(raw.tokens, outside), "choose a mode that is not there", f"say 0 to {plans.shape[1] - 1}")
    return plans[np.arange(count), chosen].astype(np.float64)


def _mode(value: dict) -> Any:
    """The plan of {"modes": [...], "chosen": k}; None if it is no such thing."""
    modes, chosen = value.get("modes"), value.get("chosen")
    if not isinstance(modes, (list, tuple, np.ndarray)) or type(chosen) is not int or not 0 <= chosen < len(modes):
        return None
    return modes[chosen]


def _array(value: Any) -> Float[np.ndarray, "..."] | None:
    """As float64; None for what is no array of numbers. A number of JSON that is too large is infinite."""
    try:
        found = np.asarray(value)
        if found.dtype.kind == "O" and all(type(one) in (int, float) for row in value for one in row):
            found = np.array([[_float(one) for one in row] for row in value])
    except (ValueError, TypeError):
        return None
    return found.astype(np.float64) if found.dtype.kind in "fiu" and found.size else None


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return np.inf


def _check(path: Path, raw: Raw, plans: Float[np.ndarray, "n T D"]) -> None:
    far = f"go farther than {FARTHEST:,.0f} m"
    for is_bad, why, remedy in (
        (np.isnan(plans), "hold NaN", "give a number for each waypoint"),
        (np.isinf(plans), "hold an infinite number", "give meters"),
        (np.abs(plans) > FARTHEST, far, "give meters from the vehicle, not global coordinates"),
    ):
        _refuse(path, raw, _of(raw.tokens, is_bad.any(axis=(1, 2))), why, remedy)
