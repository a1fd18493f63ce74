"""The mean of what was driven next in the frames of the training split that were approached most alike.

Alike: the two last steps, the speed, and the command where the student is told it, each in standard deviations of the
training split. How many neighbors is chosen on the training split alone.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from dima_jax.scoring import ego_inputs
from dima_jax.scoring.ego_inputs import Given
from dima_jax.scoring.recorded import Truth

NUMBERS = (1, 2, 4, 8, 16, 32)  # of neighbors, to choose from
NEEDS = ("history", *ego_inputs.NEEDS)  # groups of either truth
NEEDS_TO_LEARN = ("paths", "masks", *NEEDS)  # of the training truth


def name(number: int, given: Given) -> str:
    """The planner's row in a table, e.g. "nearest neighbors (8; history, command)"."""
    return f"nearest neighbors ({number}; history{', command' if given.command else ''})"


def plans(truth: Truth, train: Truth, given: Given) -> tuple[Float[np.ndarray, "N 6 2"], int]:
    """(waypoints in meters for each frame of the truth, how many neighbors each is the mean of). LiDAR frame.

    The training frames are those whose six steps are all known.
    """
    known = train.path_mask.all(axis=1)
    like, paths = features(train, given)[known], train.path[known].astype(np.float64)
    number = chosen(like, paths, train.scene[known] % 2 == 0)
    return found(like, paths, features(truth, given), number), number


def features(truth: Truth, given: Given) -> Float[np.ndarray, "N 8"]:
    """The two last steps (4 numbers), the speed, and the command [3], one-hot."""
    history = truth.history.reshape(len(truth.tokens), -1)
    parts = [history, truth.speed[:, None], ego_inputs.command(truth, given.command)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def found(
    like: Float[np.ndarray, "n 8"], paths: Float[np.ndarray, "n 6 2"], asked: Float[np.ndarray, "m 8"], number: int
) -> Float[np.ndarray, "m 6 2"]:
    """The mean path of the so many frames that are most like each one that is asked for."""
    return paths[nearest(like, asked, number)].mean(axis=1)


def nearest(
    like: Float[np.ndarray, "n 8"], asked: Float[np.ndarray, "m 8"], number: int
) -> Int[np.ndarray, "m number"]:
    """Rows of the frames that are most like each one that is asked for, the nearest first."""
    mean, deviation = like.mean(axis=0), like.std(axis=0)
    factor = np.divide(1.0, deviation, where=deviation > 0, out=np.zeros_like(deviation))
    return KDTree((like - mean) * factor).query((asked - mean) * factor, k=np.arange(1, number + 1))[1]


def chosen(like: Float[np.ndarray, "n 8"], paths: Float[np.ndarray, "n 6 2"], even: Bool[np.ndarray, " n"]) -> int:
    """The number of neighbors with the least distance where every second scene is asked for in the others.

    even: the frame is of an even scene; with frames of one kind alone it is the first of NUMBERS.
    """
    able = [number for number in NUMBERS if number <= min(even.sum(), (~even).sum())]
    if not able:
        return NUMBERS[0]
    distance = np.zeros(len(able))
    for part in (even, ~even):
        rows = nearest(like[part], like[~part], able[-1])
        away = [np.linalg.norm(paths[part][rows[:, :number]].mean(axis=1) - paths[~part], axis=-1) for number in able]
        distance += [one.mean(axis=-1).sum() for one in away]
    return able[int(distance.argmin())]
