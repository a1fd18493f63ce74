"""The standardized planning scores that PARA-Drive proposes (CVPR 2024); docs/scores/protocols.md#paradrive_std.

Values at a horizon, and the mean of all six steps; the ego's box turns with the plan; no step is exempt. The authors
published no code: which agents count, and what is off the road and off the lane, is this project's definition.
"""

import numpy as np
from jaxtyping import Bool, Float

from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.constants import EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics import polygons
from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Column, Definition, Protocol, Steps
from dima_jax.scoring.frames import AgentSelection, FrameTruth

MOVING = parts.categories_of(*(set(CLASS_OF_CATEGORY.values()) - {"barrier", "traffic_cone"}))
SELECTION = AgentSelection("future", MOVING, "any")
ROAD = ("drivable_area",)
LANES = ("lane", "lane_connector", "intersection")
AREAS = ("areas", "places", "poses")


def ego_boxes(plans: Float[np.ndarray, "P F 3"]) -> Float[np.ndarray, "P F 5"]:
    """x, y, heading, length, width of the ego's box at each waypoint. Meters, radians in the LiDAR frame."""
    heading = plans[..., 2]
    forward = EGO_CENTER_AHEAD * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    size = np.broadcast_to([EGO_LENGTH, EGO_WIDTH], forward.shape)
    return np.concatenate([plans[..., :2] + forward, heading[..., None], size], axis=-1)


def off_road(frame: FrameTruth, boxes: Float[np.ndarray, "P F 5"]) -> Bool[np.ndarray, "P F"]:
    """Whether a corner of the box is off the drivable area."""
    corners = polygons.corners(boxes.reshape(-1, 5)).reshape(-1, 2)
    return ~frame.inside(ROAD, corners).reshape(*boxes.shape[:2], 4).all(axis=-1)


def off_lane(frame: FrameTruth, boxes: Float[np.ndarray, "P F 5"]) -> Bool[np.ndarray, "P F"]:
    """Whether the center of the box is in no lane, lane connector or intersection."""
    return ~frame.inside(LANES, boxes[..., :2].reshape(-1, 2)).reshape(boxes.shape[:2])


class ParaDrive(Protocol):
    """Needs masks; for collisions also paths, headings, agents, scenes and poses; for the road areas, places and poses."""

    grids = ()
    definition = Definition(
        name="paradrive_std",
        version=1,
        title="PARA-Drive standardized: at the horizon, oriented boxes",
        source="PARA-Drive: Parallelized Architecture for Real-time Autonomous Driving (CVPR 2024); no code published",
        frames="not_first",
        quantities={"l2": "m", "collision": "share", "off_road": "share", "off_lane": "share"},
        columns=(
            *(
                column
                for quantity in ("l2", "collision", "off_road", "off_lane")
                for column in (*parts.at(quantity), Column(f"{quantity}_all", quantity, parts.ALL_STEPS, "mean"))
            ),
            parts.any_within(),
        ),
        averages=parts.average("l2", "collision", "off_road", "off_lane"),
        mask_rule="steps that are not known are left out; no step is exempt where the recorded path collides",
        constants={
            **parts.EGO,
            "ego_box": "turned by the plan's heading",
            "agents": "annotated at each future key frame",
            "agent_points": "at least one LiDAR or radar point",
            "agent_categories": parts.names(MOVING),
            "touching": "collides",
            "off_road": "a corner of the box is off " + ROAD[0],
            "off_lane": "the center of the box is in no " + ", ".join(LANES),
            "collision_needs": [*SELECTION.needs, "yaw"],
            "off_road_needs": list(AREAS),
            "off_lane_needs": list(AREAS),
        },
        needs=("masks", "scenes"),
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
        values, hit, recorded = {"l2": l2}, parts.nobody(lidar), np.zeros(l2.shape[1], bool)
        boxes, known = ego_boxes(lidar), np.broadcast_to(frame.known, l2.shape)
        if frame.has(*SELECTION.needs, "yaw"):
            path = np.concatenate([frame.path, frame.path_yaw[:, None]], axis=-1).astype(np.float64)
            agents = frame.agents(SELECTION)
            met = polygons.first_met(
                np.concatenate([boxes, ego_boxes(path[None])]), agents.boxes, agents.step, agents.rows
            )
            met = np.where(frame.known, met, -1)
            hit, recorded = met[:-1], met[-1] >= 0
            values["collision"] = parts.counted(hit >= 0, lidar)
        if frame.has(*AREAS):
            values["off_road"] = parts.counted(off_road(frame, boxes), lidar)
            values["off_lane"] = parts.counted(off_lane(frame, boxes), lidar)
        return Steps(values, dict.fromkeys(values, known), hit, recorded)


PROTOCOL = ParaDrive()
