"""`nu_epdms`: NAVSIM's extended PDM score (v2), its first stage, brought to nuScenes; docs/scores/pdms.md.

It is not NAVSIM's number and cannot be compared with it: see `nu_pdms`; and there is no second stage.
"""

import numpy as np
from jaxtyping import Float

from dima_jax.metrics.pdms import comfort
from dima_jax.metrics.pdms.filter import Formula
from dima_jax.metrics.pdms.subscores import NEEDS
from dima_jax.metrics.pdms.tracker import SAMPLES
from dima_jax.metrics.protocols import nu_parts
from dima_jax.metrics.protocols.base import Definition, Plans, Protocol, Steps
from dima_jax.scoring.ego_inputs import follows
from dima_jax.scoring.frames import FrameTruth
from dima_jax.scoring.recorded import Truth

FORMULA = Formula(("nc", "dac", "ddc", "tlc"), {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 2.0, "ec": 2.0})
LATEST = 550_000  # microseconds between two frames whose plans are held against each other
DRIVEN, HUMAN = "driven", "human_"  # what waits for the frame after, until all frames are there


class NuEpdms(Protocol):
    """Needs areas of the map, agents with instances, and poses; TLC also lights."""

    grids = ()
    definition = Definition(
        name="nu_epdms",
        version=1,
        title="after NAVSIM's extended PDM score v2, changed for nuScenes",
        source="NAVSIM 0a380a9, first stage, changed for nuScenes",
        frames="future_valid",
        quantities=nu_parts.quantities(FORMULA),
        columns=nu_parts.columns(FORMULA),
        averages=nu_parts.AVERAGES,
        mask_rule=nu_parts.MASK_RULE,
        constants=nu_parts.constants(FORMULA)
        | {"ep_plan": "progress, whatever the plan's multipliers", "ec_latest_microseconds": LATEST},
        needs=NEEDS,
    )

    def frame(
        self,
        frame: FrameTruth,
        grids: object,
        lidar: Float[np.ndarray, "P F 3"],
        ego: Float[np.ndarray, "P F 3"],
        l2: Float[np.ndarray, "P F"],
    ) -> Steps:
        """See `Protocol.frame`. The scores follow in `sequence`: EC needs the frame before."""
        told = nu_parts.Told(frame.truth, frame.index, ego, FORMULA, counts_allowed=False)
        states = told.found.states
        felt = np.concatenate([comfort.magnitude(states), states.heading], axis=1)
        plans = np.where(told.valid[:, None], felt[:-1], np.nan)
        human = {f"{HUMAN}{name}": value for name, value in told.human.items()}
        waiting = {DRIVEN: plans, f"{HUMAN}{DRIVEN}": np.broadcast_to(felt[-1], plans.shape).copy()}
        return told.steps(told.plans | human | waiting)

    def sequence(self, truth: Truth, plans: Plans, steps: dict) -> None:
        """See `Protocol.sequence`: EC of each frame that follows another, then the scores."""
        values, masks = steps["values"], steps["masks"]
        if DRIVEN not in values:
            return
        told = {name: values[name] for name in FORMULA.names if name in values}
        human = {name: values.pop(f"{HUMAN}{name}") for name in told}
        after = np.flatnonzero(_follows(truth))
        for of, into in ((DRIVEN, told), (f"{HUMAN}{DRIVEN}", human)):
            into["ec"] = _agreement(values.pop(of), after)
        for name in [name for name in masks if name.startswith((DRIVEN, HUMAN))]:
            del masks[name]
        found = {"ec": told["ec"]} | nu_parts.scores(FORMULA, told, human)
        values |= found
        masks |= {name: ~np.isnan(value) for name, value in found.items()}


def _follows(truth: Truth) -> np.ndarray:
    """[N] whether a frame comes at most 0.55 s after the one before it in the truth; by the frame's number without times."""
    result = follows(truth)
    if truth.timestamp is not None:
        result[1:] &= np.diff(truth.timestamp) < LATEST
    return result


def _agreement(driven: Float[np.ndarray, "P N 62"], after: np.ndarray) -> Float[np.ndarray, "P N 1"]:
    """1 or 0 for the frames `after`, NaN for all others and where a plan is missing."""
    result = np.full((*driven.shape[:2], 1), np.nan)
    one, other = driven[:, after - 1], driven[:, after]
    pairs = [(both[..., :SAMPLES], both[..., SAMPLES:]) for both in (one, other)]
    known = ~np.isnan(one[..., 0]) & ~np.isnan(other[..., 0])
    result[:, after, 0] = np.where(known, comfort.agree(*pairs), np.nan)
    return result


PROTOCOL = NuEpdms()
