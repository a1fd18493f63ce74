"""All rules by the tag that they give, in the order of tables."""

from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np
from jaxtyping import Bool

from data_prep.mining import braking, lanes, stopping, turning, yielding
from data_prep.mining.tracks import Tracks

VERSION = 1  # grows with every change of a rule or a threshold
FAMILIES: tuple[ModuleType, ...] = (turning, stopping, braking, lanes, yielding)
# Tags of the mini world's own have its names.
RULES: Mapping[str, Callable[[Tracks], Bool[np.ndarray, " T"]]] = {
    "targeted": turning.targeted,
    "turn_left": turning.turn_left,
    "turn_right": turning.turn_right,
    "u_turn": turning.u_turn,
    "three_point_turn": turning.three_point_turn,
    "stop_and_resume": stopping.stop_and_resume,
    "hard_brake": braking.hard_brake,
    "lead_brakes": braking.lead_brakes,
    "overtake": lanes.overtake,
    "cut_in": lanes.cut_in,
    "yield_to_pedestrian": yielding.yield_to_pedestrian,
    "yield_to_vehicle": yielding.yield_to_vehicle,
}


def thresholds() -> dict[str, dict[str, float | tuple[float, float]]]:
    """{family: {name: value}} of every constant of a rule; meters, seconds, radians."""
    return {
        family.__name__.rsplit(".", 1)[1]: {
            name: tuple(map(float, value)) if isinstance(value, tuple) else float(value)
            for name, value in vars(family).items()
            if name.isupper()
        }
        for family in FAMILIES
    }
