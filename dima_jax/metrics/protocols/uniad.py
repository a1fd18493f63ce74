"""Planning scores as UniAD publishes them (`planning_metrics.py`, `occflow_label.py`); docs/scores/protocols.md#uniad.

Distances and collisions at a horizon, over all frames. The ego's box never turns; agents are the vehicles that are
annotated at each future key frame, without pedestrians, on a grid of 0.5 m. Where the recorded path is not known the
reference adds no error, and yet divides by all frames: `l2_...` is so, `l2_masked_...` divides by the known steps.
"""

import numpy as np
from jaxtyping import Float

from dima_jax.metrics import raster
from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Definition, Protocol, Steps
from dima_jax.scoring.frames import AgentSelection, FrameTruth

VEHICLES = parts.categories_of(*parts.VEHICLES)
SELECTION = AgentSelection("future", VEHICLES, "none", min_visibility=2)
GRID = raster.GridSpec(SELECTION, cell=0.5, half=50.0, rounding="half_even", down=False)


class UniAD(Protocol):
    """Needs masks; for collisions also paths, agents with their visibility, scenes and poses."""

    grids = (GRID,)
    definition = Definition(
        name="uniad",
        version=1,
        title="UniAD: at the horizon",
        source="OpenDriveLab/UniAD, planning_head_plugin/planning_metrics.py and occflow_label.py (arXiv 2212.10156)",
        frames="all",
        quantities={"l2": "m", "collision": "share"},
        columns=(
            *parts.at("l2", "frame"),
            *parts.at("l2", "mask", "l2_masked"),
            *parts.at("collision", "frame"),
            parts.any_within("frame"),
        ),
        averages=parts.average("l2", "l2_masked", "collision"),
        mask_rule="a step that is not known has no error and no collision; l2 and collision divide by all frames, "
        "l2_masked by those with the step; steps at which the recorded path collides count as free",
        constants={
            **parts.EGO,
            "ego_box": "axis-aligned, never turns",
            "cell": GRID.cell,
            "half": GRID.half,
            "corner_rounding": "nearest, halves to even",
            "agents": "annotated at each future key frame",
            "agent_points": "none needed",
            "agent_min_visibility": SELECTION.min_visibility,
            "agent_categories": parts.names(VEHICLES),
            "collision_needs": SELECTION.needs,
        },
        needs=("masks",),
    )

    def frame(
        self,
        frame: FrameTruth,
        grids: raster.Grids,
        lidar: Float[np.ndarray, "P F 3"],
        ego: Float[np.ndarray, "P F 3"],
        l2: Float[np.ndarray, "P F"],
    ) -> Steps:
        """See `Protocol.frame`. Waypoints are taken in single precision, as the reference has them."""
        known = np.broadcast_to(frame.known, l2.shape)
        if not frame.has(*SELECTION.needs):
            return Steps({"l2": l2}, {"l2": known}, parts.nobody(lidar), np.zeros(l2.shape[1], bool))
        plans = np.concatenate([lidar[..., :2], frame.path[None]]).astype(np.float32)
        rows, columns = raster.level_box_cells(GRID, plans)
        struck = grids.covered(GRID, frame, rows, columns)
        recorded = struck[-1] & frame.known
        values = {"l2": l2, "collision": parts.counted(struck[:-1] & frame.known, plans[:-1], recorded)}
        hit = grids.first_hit(GRID, frame, values["collision"] == 1, rows[:-1], columns[:-1])
        return Steps(values, dict.fromkeys(values, known), hit, recorded)


PROTOCOL = UniAD()
