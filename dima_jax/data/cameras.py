"""The cameras of a record that a student reads."""

from collections.abc import Sequence

import numpy as np

from dima_jax.errors import UserError


def choose(cameras: dict, names: Sequence[str], where: str) -> dict:
    """The group `cameras` of a record (`features.py`) with these cameras alone, in this order.

    where: what the record is, for the error. UserError for a name that the record does not have.
    """
    recorded = list(cameras["names"])
    if unknown := [name for name in names if name not in recorded]:
        raise UserError(
            f"{where}: no camera {unknown[0]!r}, the record has {', '.join(recorded) or 'none'}; "
            f"set config.data.cameras, which is {tuple(names)}"
        )
    places = [recorded.index(name) for name in names]
    return {
        key: values[places] if isinstance(values, np.ndarray) else [values[i] for i in places]
        for key, values in cameras.items()
    }
