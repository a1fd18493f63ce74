"""Brings the plans of all files into the order of a truth's frames, in both frames of reference."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from dima_jax.errors import UserError
from dima_jax.metrics.protocols.base import Plans
from dima_jax.scoring import headings
from dima_jax.scoring.predictions import STEPS, Predictions, named
from dima_jax.scoring.recorded import Truth

PATHS = {"lidar": "path", "ego": "ego_path"}  # what L2 is measured to
MOVING = 1.0  # meters in a step, from which a given heading must be near the direction of travel
MOST_APART = np.pi / 4  # the median over such steps


def align(truth: Truth, predictions: Sequence[Predictions], allow_missing: bool) -> Plans:
    """Plans of every file for every frame of the truth; the headings that a file does not give are estimated.

    Raises UserError, with the first tokens, for plans of frames that the truth does not have and, unless
    `allow_missing`, for frames without a plan; for headings that do not fit the plans; for two files of one planner and
    seed; for a file in a frame in which the truth has no path. Without poses in the truth a plan is NaN in the other frame.
    """
    _check_names(predictions)
    row = {token: index for index, token in enumerate(truth.tokens.tolist())}
    shape = (len(predictions), len(row), STEPS, 3)
    both = {frame: np.full(shape, np.nan) for frame in PATHS}
    covered = np.zeros(shape[:2], bool)
    for number, one in enumerate(predictions):
        if getattr(truth, PATHS[one.frame]) is None:
            raise UserError(f"{_name(one)}: is of the frame {one.frame!r}, in which the truth has no recorded path")
        _check_tokens(one, row, allow_missing)
        rows = np.array([row[token] for token in one.tokens])
        covered[number, rows] = True
        both[one.frame][number, rows] = _with_headings(one)
        other = "ego" if one.frame == "lidar" else "lidar"
        if truth.lidar2ego is not None:
            change = {"ego": headings.to_ego, "lidar": headings.to_lidar}[other]
            both[other][number] = change(both[one.frame][number], truth.lidar2ego)
    names = [label(one, predictions) for one in predictions]
    return Plans(names, both["lidar"], both["ego"], [one.frame for one in predictions], covered)


def label(one: Predictions, predictions: Sequence[Predictions]) -> str:
    """The name of a file's row: its planner, and the seed where several files are of that planner."""
    count = sum(other.planner == one.planner for other in predictions)
    return one.planner if count == 1 else f"{one.planner}, seed {one.seed}"


def _name(one: Predictions) -> str:
    return one.file or one.planner


def _check_names(predictions: Sequence[Predictions]) -> None:
    for one, other in itertools.combinations(predictions, 2):
        if one.planner == other.planner and (one.seed == other.seed or None in (one.seed, other.seed)):
            seed = "without a seed" if other.seed is None else f"of seed {other.seed}"
            raise UserError(
                f"{_name(other)}: a second {one.planner!r} {seed}, after {_name(one)}; "
                "name it otherwise (`planner` in the header, or the file's name)"
            )


def _check_tokens(one: Predictions, row: dict[str, int], allow_missing: bool) -> None:
    extra = [token for token in one.tokens if token not in row]
    if extra:
        raise UserError(
            f"{_name(one)}: {len(extra):,} of {len(one.tokens):,} plans are of frames that the truth does not have: "
            f"{named(extra)}; take them out, or give the truth of that split"
        )
    given = set(one.tokens)
    missing = [token for token in row if token not in given]
    if missing and one.file and not allow_missing:  # a control has the frames for which the truth has its numbers
        raise UserError(
            f"{_name(one)}: {len(missing):,} of {len(row):,} frames have no plan: {named(missing)}; "
            "add them, or score what is there with --allow_missing"
        )


def _with_headings(one: Predictions) -> Float[np.ndarray, "n 6 3"]:
    """Given, or estimated."""
    xy, ahead = one.plans[..., :2], headings.AHEAD[one.frame]
    if one.plans.shape[-1] == 2:
        return np.concatenate([xy, headings.estimate(xy, ahead)[..., None]], axis=-1)
    steps = np.diff(xy, axis=1, prepend=0.0)
    moving = np.linalg.norm(steps, axis=-1) > MOVING
    apart = np.abs((one.plans[..., 2] - np.arctan2(steps[..., 1], steps[..., 0]) + np.pi) % (2 * np.pi) - np.pi)
    if moving.any() and np.median(apart[moving]) > MOST_APART:
        raise UserError(
            f"{_name(one)}: the headings are {np.degrees(np.median(apart[moving])):.0f} degrees off the direction of "
            f"travel; in the frame {one.frame!r} they are radians counterclockwise from x, straight ahead is {ahead:.4g}"
        )
    return one.plans
