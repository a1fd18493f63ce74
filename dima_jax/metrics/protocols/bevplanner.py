"""Planning scores as BEV-Planner defines them (arXiv 2312.03031); docs/scores/protocols.md#bevplanner.

Distances are means over the steps up to a horizon; a collision counts once per trajectory. Everything is in the ego
frame, on a grid of 0.1 m: the ego's box turns with its steps, agents are the vehicles annotated at each future key
frame, without pedestrians, and a second grid has the boundary of the road as lines (the curb rate).
"""

import numpy as np
from jaxtyping import Float, Int

from dima_jax.constants import EGO_CENTER_AHEAD
from dima_jax.metrics import raster
from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Definition, Protocol, Steps
from dima_jax.scoring.frames import AgentSelection, FrameTruth

VEHICLES = parts.categories_of(*parts.VEHICLES)
SELECTION = AgentSelection("future", VEHICLES, "any", frame="ego")
GRID = raster.GridSpec(SELECTION, cell=0.1, half=50.0, rounding="truncate", down=False)
LIDAR_AHEAD = 0.985793  # meters from the ego's origin to the LiDAR, as the reference has it
MIN_STEP = 1.0  # meters; below it the box is not turned
CURB_POINTS = 20  # of each line, evenly spaced
CURB_LIMIT = 51.2  # meters; the patch of the map


def box_cells(plans: Float[np.ndarray, "P F 2"]) -> tuple[Int[np.ndarray, "P F K"], Int[np.ndarray, "P F K"]]:
    """(rows, columns) under the ego's box, turned by the step that leads to each waypoint. Meters in the ego frame."""
    steps = np.diff(plans, axis=1, prepend=np.zeros_like(plans[:, :1])).astype(np.float64)
    angle = np.where(np.hypot(*np.moveaxis(steps, -1, 0)) < MIN_STEP, 0.0, np.arctan2(steps[..., 1], steps[..., 0]))
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    along, across = raster.ego_cells(GRID, EGO_CENTER_AHEAD + LIDAR_AHEAD)
    center = (GRID.cells - 1) / 2
    along, across = along - center, across - center
    x = np.round(along * cos - across * sin + center)
    y = np.round(along * sin + across * cos + center)
    cells = (plans / np.float32(GRID.cell)).astype(np.float64)
    return raster.to_cells(GRID, cells[..., 1:] + y), raster.to_cells(GRID, cells[..., :1] + x)


def sampled(line: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "points 2"]:
    """Points along a line at equal distances, the first and the last among them, kept inside of the map's patch."""
    line = line.astype(np.float64)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    along = np.linspace(0.0, arc[-1], CURB_POINTS)
    points = np.stack([np.interp(along, arc, line[:, 0]), np.interp(along, arc, line[:, 1])], axis=-1)
    return np.clip(points, -CURB_LIMIT, CURB_LIMIT)


class BevPlanner(Protocol):
    """Needs masks; for collisions also paths of the ego, agents, scenes and poses; for curbs these paths and curbs."""

    grids = (GRID,)
    definition = Definition(
        name="bevplanner",
        version=1,
        title="BEV-Planner: collisions per trajectory",
        source="Is Ego Status All You Need for Open-Loop End-to-End Autonomous Driving? (arXiv 2312.03031)",
        frames="future_valid",
        quantities={"l2": "m", "collision": "share", "curb": "share"},
        columns=(
            *parts.up_to("l2"),
            *parts.up_to("collision", "any"),
            *parts.up_to("curb", "any"),
            parts.any_within(),
        ),
        averages=parts.average("l2", "collision", "curb"),
        mask_rule="only frames whose six steps are known; steps at which the recorded path collides count as free, "
        "with agents and with curbs each for themselves",
        constants={
            **parts.EGO,
            "lidar_ahead": LIDAR_AHEAD,
            "ego_box": "turned by the direction of its step, not below min_step",
            "min_step": MIN_STEP,
            "cell": GRID.cell,
            "half": GRID.half,
            "corner_rounding": "toward 0",
            "agents": "annotated at each future key frame",
            "agent_points": "at least one LiDAR or radar point",
            "agent_categories": parts.names(VEHICLES),
            "curb_points": CURB_POINTS,
            "curb_limit": CURB_LIMIT,
            "collision_needs": SELECTION.needs,
            "curb_needs": ["ego_paths", "curbs"],
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
        values, hit, recorded = {"l2": l2}, parts.nobody(ego), np.zeros(l2.shape[1], bool)
        if frame.has("ego_paths"):
            plans = np.concatenate([ego[..., :2], frame.ego_path[None]]).astype(np.float32)
            rows, columns = box_cells(plans)
            if frame.has(*SELECTION.needs):
                struck = grids.covered(GRID, frame, rows, columns)
                recorded = struck[-1]
                values["collision"] = parts.counted(struck[:-1], plans[:-1], recorded)
                hit = grids.first_hit(GRID, frame, values["collision"] == 1, rows[:-1], columns[:-1])
            if frame.has("curbs"):
                struck = raster.lines_covered(GRID, [sampled(line) for line in frame.curbs()], rows, columns)
                values["curb"] = parts.counted(struck[:-1], plans[:-1], struck[-1])
        return Steps(values, dict.fromkeys(values, np.ones(l2.shape, bool)), hit, recorded)


PROTOCOL = BevPlanner()
