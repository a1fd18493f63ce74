"""Planning scores as VAD publishes them, after ST-P3 (`VAD/planner/metric_stp3.py`); docs/scores/protocols.md#stp3_vad.

Distances are means over the steps up to a horizon. The ego's box never turns; agents are those of the frame itself,
moved by their recorded futures, on a grid of 0.5 m. Kept as published: road users are chosen by category (quirk Q2),
steps at which the recorded path itself collides count as free, and the point collision looks at the wrong cell (Q7).
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.metrics import raster
from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Definition, Protocol, Steps
from dima_jax.scoring.frames import AgentSelection, FrameTruth

RECTANGLE = (15.0, 30.0)  # meters: what the student is asked to see
ROAD_USERS = tuple(  # of the categories 2 to 8 and 14 to 23 those that are one of the ten classes
    i for i in parts.categories_of(*CLASS_OF_CATEGORY.values()) if 2 <= i <= 8 or 14 <= i <= 23
)
SELECTION = AgentSelection("now", ROAD_USERS, "lidar", rectangle=RECTANGLE)
GRID = raster.GridSpec(SELECTION, cell=0.5, half=50.0, rounding="half_even", down=True)
POINT_OFFSET = (GRID.half - GRID.cell / 2) / 2  # meters; the grid's true offset is twice as much (quirk Q7)


def point_cells(
    plans: Float[np.ndarray, "P F 2"],
) -> tuple[Bool[np.ndarray, "P F"], Int[np.ndarray, "P F 1"], Int[np.ndarray, "P F 1"]]:
    """(whether it is on the grid, row, column) of the cell of each waypoint, at half the grid's true offset (Q7)."""
    cells = (POINT_OFFSET + plans * np.array([1, -1], plans.dtype)) / GRID.cell
    cells = np.minimum(np.fmax(cells, -1), GRID.cells).astype(np.int64)
    inside = ((cells >= 0) & (cells < GRID.cells)).all(axis=-1)
    column, row = np.moveaxis(np.where(inside[..., None], cells, 0), -1, 0)
    return inside, row[..., None], column[..., None]


class Stp3Vad(Protocol):
    """Needs masks; for collisions also paths, agents with their futures."""

    grids = (GRID,)
    definition = Definition(
        name="stp3_vad",
        version=1,
        title="ST-P3 / VAD: mean up to the horizon",
        source="hustvl/VAD, VAD/planner/metric_stp3.py (arXiv 2303.12077), after ST-P3 (arXiv 2207.07601)",
        frames="future_valid",
        quantities={"l2": "m", "collision": "share", "point_collision": "share"},
        columns=(
            *parts.up_to("l2"),
            *parts.up_to("collision"),
            *parts.up_to("point_collision"),
            parts.any_within(),
        ),
        averages=parts.average("l2", "collision", "point_collision"),
        mask_rule="only frames whose six steps are known; steps at which the recorded path collides count as free",
        constants={
            **parts.EGO,
            "ego_box": "axis-aligned, never turns",
            "cell": GRID.cell,
            "half": GRID.half,
            "corner_rounding": "nearest, halves to even",
            "point_offset": POINT_OFFSET,
            "agents": "of the frame itself, moved by their recorded futures",
            "agent_points": "at least one LiDAR point",
            "agent_rectangle": list(RECTANGLE),
            "agent_categories": parts.names(ROAD_USERS),
            "collision_needs": SELECTION.needs,
            "point_collision_needs": SELECTION.needs,
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
        every = np.ones(l2.shape, bool)
        if not frame.has(*SELECTION.needs):
            return Steps({"l2": l2}, {"l2": every}, parts.nobody(lidar), np.zeros(l2.shape[1], bool))
        plans = np.concatenate([lidar[..., :2], frame.path[None]]).astype(np.float32)
        rows, columns = raster.level_box_cells(GRID, plans)
        inside, *point = point_cells(plans[:-1])
        under = [
            np.concatenate([box, np.repeat(one, box.shape[-1], -1)])
            for box, one in zip((rows, columns), point, strict=True)
        ]
        struck, recorded, at_point = np.split(grids.covered(GRID, frame, *under), [len(plans) - 1, len(plans)])
        recorded, plans = recorded[0], plans[:-1]
        values = {
            "l2": l2,
            "collision": parts.counted(struck, plans, recorded),
            "point_collision": parts.counted(inside & at_point, plans, recorded),
        }
        hit = grids.first_hit(GRID, frame, values["collision"] == 1, rows[:-1], columns[:-1])
        return Steps(values, dict.fromkeys(values, every), hit, recorded)


PROTOCOL = Stp3Vad()
