"""`nu_pdms`: NAVSIM's PDM score (v1.1) brought to nuScenes; docs/scores/pdms.md.

It is not NAVSIM's number and cannot be compared with it: three seconds instead of four, another route, another reference
for progress.
"""

import numpy as np
from jaxtyping import Float

from dima_jax.metrics.pdms.filter import Formula
from dima_jax.metrics.pdms.subscores import NEEDS
from dima_jax.metrics.protocols import nu_parts
from dima_jax.metrics.protocols.base import Definition, Protocol, Steps
from dima_jax.scoring.frames import FrameTruth

FORMULA = Formula(("nc", "dac"), {"ttc": 5.0, "ep": 5.0, "c": 2.0})


class NuPdms(Protocol):
    """Needs areas of the map, agents with instances, and poses."""

    grids = ()
    definition = Definition(
        name="nu_pdms",
        version=1,
        title="after NAVSIM's PDM score v1.1, changed for nuScenes",
        source="NAVSIM 0a380a9 with the formula of v1.1 (NeurIPS 2024), changed for nuScenes",
        frames="future_valid",
        quantities=nu_parts.quantities(FORMULA),
        columns=nu_parts.columns(FORMULA),
        averages=nu_parts.AVERAGES,
        mask_rule=nu_parts.MASK_RULE,
        constants=nu_parts.constants(FORMULA) | {"ep_plan": "progress times the plan's own multipliers"},
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
        """See `Protocol.frame`."""
        told = nu_parts.Told(frame.truth, frame.index, ego, FORMULA, counts_allowed=True)
        return told.steps(told.plans | nu_parts.scores(FORMULA, told.plans, told.human))


PROTOCOL = NuPdms()
