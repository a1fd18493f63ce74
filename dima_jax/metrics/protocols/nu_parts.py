"""What the definitions and the steps of `nu_pdms` and `nu_epdms` are put together from."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from dima_jax.constants import STEP_SECONDS, WHEELBASE
from dima_jax.metrics.pdms import areas, collisions, comfort, ego_start, progress, reference, tracker, tracks
from dima_jax.metrics.pdms.filter import Formula, filtered
from dima_jax.metrics.pdms.subscores import Subscores, subscores
from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Column, Steps
from dima_jax.scoring.frames import Same
from dima_jax.scoring.recorded import Truth

FILTERED, UNFILTERED = "score_filtered", "score_unfiltered"
AVERAGES = {"score_avg": (FILTERED,)}  # what is compared in words
REFERENCE = "idm_reference"  # kept by frame, no column: 1 = progress is measured against the reference driver
MASK_RULE = (
    "a sub-score without data in a frame leaves the product, or the weighted mean with its weight; in score_filtered "
    "whatever the recorded drive itself fails is 1"
)
LACKING = {  # {sub-score: what it needs beyond the protocol's needs}
    "dac": "a drivable_area at the place",
    "ddc": "a centerline within 4 m of the recorded drive",
    "tlc": "lights",
    "lk": "a centerline within 4 m of the recorded drive",
    "ec": "a plan for the key frame less than 0.55 s before",
}


def quantities(formula: Formula) -> dict[str, str]:
    """{quantity: unit}."""
    return dict.fromkeys((FILTERED, UNFILTERED, *formula.names), "score")


def columns(formula: Formula) -> tuple[Column, ...]:
    """One a quantity: what is told of a frame is one number."""
    return tuple(Column(name, name, (0,), "mean") for name in quantities(formula))


def constants(formula: Formula) -> dict[str, float | str | list]:
    """Of a definition: the formula, and every size and threshold."""
    return {
        **parts.EGO,
        "wheelbase": WHEELBASE,
        "multipliers": list(formula.multipliers),
        "weights": [f"{name} {weight:g}" for name, weight in formula.weights.items()],
        **{f"{name}_needs": LACKING[name] for name in formula.names if name in LACKING},
        "seconds": tracker.STEPS * STEP_SECONDS,
        "sample_seconds": tracker.DT,
        "start": "cubic spline of the recorded poses of the key frames",
        "start_past_steps": ego_start.PAST_STEPS,
        "start_slowest_turn": ego_start.SLOWEST,
        "tracker_horizon": tracker.HORIZON,
        "tracker_longitudinal": [tracker.SPEED_WEIGHT, tracker.ACCELERATION_WEIGHT],
        "tracker_lateral": [tracker.LATERAL_WEIGHT, tracker.HEADING_WEIGHT, 0.0, tracker.STEERING_RATE_WEIGHT],
        "tracker_penalties": [tracker.JERK_PENALTY, tracker.CURVATURE_RATE_PENALTY, tracker.CURVATURE_PENALTY],
        "tracker_stopping": [tracker.STOPPING_SPEED, tracker.STOPPING_GAIN],
        "vehicle_lags": [tracker.ACCELERATION_LAG, tracker.STEERING_LAG],
        "vehicle_max_steering": tracker.MAX_STEERING,
        "agents": "all annotations, straight between key frames, replayed",
        "nc_agents": list(tracks.AGENTS),
        "nc_objects": list(tracks.OBJECTS),
        "nc_stopped": collisions.STOPPED,
        "nc_values": [collisions.AGENT, collisions.OBJECT],
        "nc_already_touched": "ignored",
        "angles": [collisions.AHEAD, collisions.BEHIND],
        "ttc_samples": list(collisions.LOOK_AHEAD),
        "ttc_not_moving": collisions.NOT_MOVING,
        "tlc_overshot": collisions.OVERSHOT,
        "drivable": list(areas.DRIVABLE),
        "ddc_window_samples": areas.WINDOW,
        "ddc_meters": [limit for limit, _ in areas.WRONG_WAY],
        "route": "lanes of the recorded drive, then straight on; lanes of their road blocks are legal",
        "ep_fewest_meters": progress.FEWEST_METERS,
        "ep_reference": "IDM on the route's centerline, else the recorded path",
        "ep_reference_aim": "highest recorded speed of the next 3 s",
        "idm": [
            reference.GAP,
            reference.HEADWAY,
            reference.ACCELERATION,
            reference.DECELERATION,
            reference.EXPONENT,
        ],
        "lk_meters": progress.ASIDE,
        "lk_samples": progress.LONGEST,
        "comfort_acceleration": [*comfort.LATERAL, *comfort.LONGITUDINAL],
        "comfort_jerk": [*comfort.JERK, *comfort.LONGITUDINAL_JERK],
        "comfort_yaw": [*comfort.YAW_RATE, *comfort.YAW_ACCELERATION],
        "ec_limits": list(comfort.PAIR_LIMITS),
    }


class Told:
    """The sub-scores of P plans and of the recorded path in one frame, with EP; NaN where a plan is no number."""

    def __init__(
        self, truth: Truth, index: int, ego: Float[np.ndarray, "P 6 3"], formula: Formula, *, counts_allowed: bool
    ) -> None:
        self.formula, self.valid = formula, np.isfinite(ego).all(axis=(1, 2))
        plans = np.where(self.valid[:, None, None], ego, 0.0).astype(np.float64)
        self.found = _found(Same(truth.tokens, truth), index, plans.tobytes())
        every = {name: value for name, value in self.found.told.items() if name in formula.names}
        every["ep"] = _progress(self.found, every, formula, counts_allowed)
        self.plans = {name: np.where(self.valid, value[:-1], np.nan)[:, None] for name, value in every.items()}
        self.human = {name: np.full_like(self.plans[name], value[-1]) for name, value in every.items()}

    def steps(self, values: dict[str, Float[np.ndarray, "P n"]]) -> Steps:
        """values: by quantity; all are known in this frame."""
        values = values | {REFERENCE: np.full((len(self.valid), 1), float(self.found.reference is not None))}
        masks = {name: np.ones(value.shape, bool) for name, value in values.items()}
        struck = self.found.collisions
        return Steps(values, masks, np.where(self.valid[:, None], struck.hit[:-1], -1), struck.touched[-1])


def scores(
    formula: Formula, plans: dict[str, Float[np.ndarray, "..."]], human: dict[str, Float[np.ndarray, "..."]]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Both scores, by quantity."""
    missing: Bool[np.ndarray, ...] = np.isnan(plans["nc"])
    found = {FILTERED: formula.score(filtered(plans, human)), UNFILTERED: formula.score(plans)}
    return {name: np.where(missing, np.nan, value) for name, value in found.items()}


@lru_cache(maxsize=1)
def _found(truth: Same, index: int, plans: bytes) -> Subscores:
    """Both protocols ask for the same plans of a frame, one after the other."""
    return subscores(truth.truth, index, np.frombuffer(plans).reshape(-1, tracker.STEPS, 3))


def _progress(
    found: Subscores, told: dict[str, Float[np.ndarray, " B"]], formula: Formula, counts_allowed: bool
) -> Float[np.ndarray, " B"]:
    names = [name for name in formula.multipliers if name in told]
    allowed = np.prod([told[name] for name in names], axis=0)
    if found.reference is None:
        best = float(found.meters[-1] * allowed[-1])
    else:
        best = found.reference["meters"] * float(np.prod([found.reference[name] for name in names]))
    return progress.ego_progress(found.meters, allowed, best, counts_allowed=counts_allowed)
