"""The same truth with some numbers changed."""

import dataclasses

from dima_jax.scoring.recorded import Truth


def changed(truth: Truth, **arrays) -> Truth:
    """arrays: {key: {index: value}}, or a whole new array."""
    made = {}
    for key, told in arrays.items():
        made[key] = told
        if isinstance(told, dict):
            made[key] = getattr(truth, key).copy()
            for index, value in told.items():
                made[key][index] = value
    return dataclasses.replace(truth, **made)
