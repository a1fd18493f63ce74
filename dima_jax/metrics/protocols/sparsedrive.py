"""Planning scores as SparseDrive publishes them (`planning_eval.py`); docs/scores/protocols.md#sparsedrive.

Means over the steps up to a horizon, as in VAD. The ego's box turns with the path of its waypoints, and is held against
the boxes of everything that is annotated at each future key frame, barriers and cones too.
"""

import numpy as np
from jaxtyping import Float

from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.metrics import polygons
from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Definition, Protocol, Steps
from dima_jax.metrics.protocols.paradrive_std import ego_boxes
from dima_jax.scoring.frames import AgentSelection, FrameTruth
from dima_jax.scoring.headings import central_steps

SELECTION = AgentSelection("future", tuple(range(len(LIDARSEG_CATEGORIES))), "lidar")
MIN_LENGTH = 0.5  # meters from the first waypoint to the last; below it the box looks straight ahead


def headings(plans: Float[np.ndarray, "P F 2"]) -> Float[np.ndarray, "P F"]:
    """Directions by central differences of the origin and the waypoints, the last one backward. LiDAR frame."""
    steps = central_steps(plans)
    length = np.hypot(*np.moveaxis(plans[:, -1:] - plans[:, :1], -1, 0))
    return np.where(length < MIN_LENGTH, np.pi / 2, np.arctan2(steps[..., 1], steps[..., 0]))


class SparseDrive(Protocol):
    """Needs masks; for collisions also paths, agents, scenes and poses."""

    grids = ()
    definition = Definition(
        name="sparsedrive",
        version=1,
        title="SparseDrive: mean up to the horizon, oriented boxes",
        source="swc-17/SparseDrive, evaluation/planning/planning_eval.py (arXiv 2405.19620)",
        frames="future_valid",
        quantities={"l2": "m", "collision": "share"},
        columns=(*parts.up_to("l2"), *parts.up_to("collision"), parts.any_within()),
        averages=parts.average("l2", "collision"),
        mask_rule="only frames whose six steps are known; steps at which the recorded path collides count as free",
        constants={
            **parts.EGO,
            "ego_box": "turned by central differences of the waypoints, straight ahead below min_length",
            "min_length": MIN_LENGTH,
            "agents": "annotated at each future key frame",
            "agent_points": "at least one LiDAR point",
            "agent_categories": "all",
            "touching": "collides",
            "collision_needs": SELECTION.needs,
        },
        needs=("masks",),
    )

    def frame(
        self,
        frame: FrameTruth,
        grids: object,
        lidar: Float[np.ndarray, "P F 3"],
        ego: Float[np.ndarray, "P F 3"],
        l2: Float[np.ndarray, "P F"],
    ) -> Steps:
        """See `Protocol.frame`. Headings that a plan gives are not used."""
        values, hit, recorded = {"l2": l2}, parts.nobody(lidar), np.zeros(l2.shape[1], bool)
        if frame.has(*SELECTION.needs):
            plans = np.concatenate([lidar[..., :2], frame.path[None]])
            boxes = ego_boxes(np.concatenate([plans, headings(plans)[..., None]], axis=-1))
            agents = frame.agents(SELECTION)
            met = polygons.first_met(boxes, agents.boxes, agents.step, agents.rows)
            recorded = met[-1] >= 0
            values["collision"] = parts.counted(met[:-1] >= 0, plans[:-1], recorded)
            hit = np.where(values["collision"] == 1, met[:-1], -1)
        return Steps(values, dict.fromkeys(values, np.ones(l2.shape, bool)), hit, recorded)


PROTOCOL = SparseDrive()
