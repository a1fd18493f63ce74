"""What was recorded, without images: what predictions are scored against, as `truth.py` keeps it in a file.

LiDAR frame of the key frame: x right, y forward. Ego frame: x forward, y left, origin = ego pose (rear axle). Meters,
radians counterclockwise from +x; the heading of straight ahead is pi/2 in the LiDAR frame and 0 in the ego frame. Six
future steps of 0.5 s.

Keys come in groups (`GROUPS`): a file has all keys of a group or none. Keys that end in `_start` divide the rows of
another axis: rows start[i]:start[i + 1] belong to item i.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
from jaxtyping import AbstractDtype, Bool, Float32, Float64, Int8, Int16, Int32, Int64, Integer

from dima_jax.scoring import npz_file

Array = np.ndarray


class Text(AbstractDtype):
    """Arrays of numpy's texts, of any length."""

    dtypes = [re.compile("str.*")]  # noqa: RUF012 - jaxtyping reads it


@dataclass(frozen=True, eq=False)
class Truth:
    """N frames in order (scene, time), T rows of agents, S scenes, I instances, L places. What is absent is None."""

    header: dict
    tokens: Text[Array, " N"]
    scene: Int32[Array, " N"]  # index in scene_names
    scene_names: Text[Array, " S"]
    # scenes: where in its scene a frame is
    frame_index: Int32[Array, " N"] | None = None
    scene_length: Int32[Array, " N"] | None = None  # key frames of the whole scene
    # times
    timestamp: Int64[Array, " N"] | None = None  # microseconds
    # places
    location: Int16[Array, " N"] | None = None  # index in location_names
    location_names: Text[Array, " L"] | None = None
    # tags of scenes: `data.scene_tags`
    tag_names: Text[Array, " tags"] | None = None
    tags: Bool[Array, "S tags"] | None = None
    # masks: which steps of the recorded path are known; the others repeat the last known one
    path_mask: Bool[Array, "N 6"] | None = None
    future_valid: Bool[Array, " N"] | None = None  # six future key frames exist
    # paths: the LiDAR's origin in the LiDAR frame; the float32 sum of a record's offsets
    path: Float32[Array, "N 6 2"] | None = None
    # yaw: headings along the path
    path_yaw: Float32[Array, "N 6"] | None = None
    # ego_paths: the ego frame's origin, in the ego frame
    ego_path: Float32[Array, "N 6 2"] | None = None
    # ego_yaw
    ego_path_yaw: Float32[Array, "N 6"] | None = None
    # poses
    lidar2ego: Float64[Array, "N 4 4"] | None = None
    ego2global: Float64[Array, "N 4 4"] | None = None
    # commands
    command: Int8[Array, " N"] | None = None  # index in constants.COMMANDS
    targeted: Bool[Array, " N"] | None = None  # the command is not "straight"
    # history: the two last steps, oldest first
    history: Float32[Array, "N 2 2"] | None = None
    # ego_inputs: what else a planner is told (`data.features`)
    speed: Float32[Array, " N"] | None = None  # m/s
    can_bus: Float64[Array, "N 18"] | None = None  # absolute
    status: Float32[Array, "N 9"] | None = None
    # agents: every annotation, in the order of the record
    agent_start: Int64[Array, " N+1"] | None = None
    boxes: Float32[Array, "T 9"] | None = None  # cx cy cz w l h yaw_box vx vy; an unknown velocity is NaN
    category: Int16[Array, " T"] | None = None  # index in categories.LIDARSEG_CATEGORIES, 0 = unknown
    lidar_points: Int32[Array, " T"] | None = None
    radar_points: Int32[Array, " T"] | None = None
    # instances
    instance: Int32[Array, " T"] | None = None  # index in instance_tokens
    instance_tokens: Text[Array, " I"] | None = None
    # futures: offsets and heading differences, step by step
    future_offsets: Float32[Array, "T 6 2"] | None = None
    future_mask: Bool[Array, "T 6"] | None = None
    future_yaw: Float32[Array, "T 6"] | None = None
    # visibility, attributes
    visibility: Int8[Array, " T"] | None = None  # nuScenes' level 1 (0-40 %) to 4, 0 = unknown
    attribute: Int8[Array, " T"] | None = None  # index in categories.ATTRIBUTES, -1 = unknown
    # lines of the map in the record's 30 x 60 m patch, LiDAR frame
    line_start: Int64[Array, " N+1"] | None = None
    line_label: Int8[Array, " lines"] | None = None  # index in constants.MAP_CLASSES
    line_vertex_start: Int64[Array, " lines+1"] | None = None
    line_vertices: Float32[Array, "line_points 2"] | None = None
    # curbs: boundary lines in a patch of 102.4 x 102.4 m around the ego, ego frame
    curb_start: Int64[Array, " N+1"] | None = None
    curb_vertex_start: Int64[Array, "..."] | None = None
    curb_vertices: Float32[Array, "curb_points 2"] | None = None
    # areas: polygons of the map in global coordinates, and the centerlines of lanes and lane connectors
    area_layer: Int8[Array, " areas"] | None = None  # index in categories.AREA_LAYERS
    area_location: Int16[Array, " areas"] | None = None  # index in location_names
    area_token: Text[Array, " areas"] | None = None
    area_ring_start: Int64[Array, " areas+1"] | None = None
    ring_is_hole: Bool[Array, " rings"] | None = None
    ring_vertex_start: Int64[Array, " rings+1"] | None = None
    ring_vertices: Float64[Array, "ring_points 2"] | None = None
    center_lane: Int32[Array, " centers"] | None = None  # row of the area
    center_start: Int64[Array, " centers+1"] | None = None
    center_vertices: Float64[Array, "center_points 2"] | None = None  # 1 m apart
    center_successor_start: Int64[Array, " centers+1"] | None = None
    center_successors: Int32[Array, " successors"] | None = None  # row of center_lane
    # lights
    light_start: Int64[Array, " N+1"] | None = None
    light_stop_line: Int32[Array, " lights"] | None = None  # row of the area
    light_state: Int8[Array, " lights"] | None = None  # index in categories.LIGHT_STATES

    def has(self, *names: str) -> bool:
        """Whether all of these groups are there."""
        return set(names) <= set(groups_of(self.arrays()))

    def arrays(self) -> npz_file.Arrays:
        """Every array that is there, by key."""
        found = {key: getattr(self, key) for key in DIMENSIONS}
        return {key: array for key, array in found.items() if array is not None}

    def select(self, indices: Integer[Array, " n"] | Bool[Array, " N"]) -> "Truth":
        """The frames of these numbers (or of this mask), in their order. Names, maps and the header stay whole."""
        rows, arrays = {"N": np.arange(len(self.tokens))[indices]}, self.arrays()
        chosen = dict(arrays)
        for key, (items, divided) in STARTS.items():
            if key in arrays and items in rows:
                chosen[key], rows[divided] = _divided(arrays[key], rows[items])
        for key, array in arrays.items():
            if axis_of(key) in rows:
                chosen[key] = array[rows[axis_of(key)]]
        return Truth(self.header, **chosen)

    def scene_frames(self) -> list[Int64[Array, " frames"]]:
        """Numbers of the frames of each scene that has any, in order of scene_names."""
        return [np.flatnonzero(self.scene == scene) for scene in np.unique(self.scene)]


KINDS: Mapping[str, Any] = {
    field.name: (get_args(field.type) or (field.type,))[0] for field in fields(Truth) if field.name != "header"
}
DIMENSIONS: Mapping[str, str] = {key: kind.dim_str for key, kind in KINDS.items()}
ALWAYS = ("tokens", "scene", "scene_names")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "scenes": ("frame_index", "scene_length"),
    "times": ("timestamp",),
    "places": ("location", "location_names"),
    "tags": ("tag_names", "tags"),
    "masks": ("path_mask", "future_valid"),
    "paths": ("path",),
    "yaw": ("path_yaw",),
    "ego_paths": ("ego_path",),
    "ego_yaw": ("ego_path_yaw",),
    "poses": ("lidar2ego", "ego2global"),
    "commands": ("command", "targeted"),
    "history": ("history",),
    "ego_inputs": ("speed", "can_bus", "status"),
    "agents": ("agent_start", "boxes", "category", "lidar_points", "radar_points"),
    "instances": ("instance", "instance_tokens"),
    "futures": ("future_offsets", "future_mask", "future_yaw"),
    "visibility": ("visibility",),
    "attributes": ("attribute",),
    "lines": ("line_start", "line_label", "line_vertex_start", "line_vertices"),
    "curbs": ("curb_start", "curb_vertex_start", "curb_vertices"),
    "areas": tuple(key for key in KINDS if key.startswith(("area_", "ring_", "center_"))),
    "lights": ("light_start", "light_stop_line", "light_state"),
}
NEEDED = {  # by a group: another one, without which it says little
    "paths": "masks",
    "yaw": "paths",
    "ego_paths": "masks",
    "ego_yaw": "ego_paths",
    "ego_inputs": "history",
    "history": "commands",
    **dict.fromkeys(("instances", "futures", "visibility", "attributes"), "agents"),
    "areas": "places",
    "lights": "areas",
}
# {key: (the axis of the items, the axis whose rows it divides among them)}; an axis comes after the one that divides it.
STARTS: Mapping[str, tuple[str, str]] = {
    "agent_start": ("N", "T"),
    "line_start": ("N", "lines"),
    "line_vertex_start": ("lines", "line_points"),
    "curb_start": ("N", "curbs"),
    "curb_vertex_start": ("curbs", "curb_points"),
    "light_start": ("N", "lights"),
    "area_ring_start": ("areas", "rings"),
    "ring_vertex_start": ("rings", "ring_points"),
    "center_start": ("centers", "center_points"),
    "center_successor_start": ("centers", "successors"),
}


def groups_of(arrays: npz_file.Arrays) -> list[str]:
    """Names of the groups whose keys are all there."""
    return [name for name, keys in GROUPS.items() if set(keys) <= set(arrays)]


def axis_of(key: str) -> str:
    """The name of a key's first axis."""
    return DIMENSIONS[key].split()[0]


def _divided(
    start: Int64[Array, " items_and_1"], items: Integer[Array, " n"]
) -> tuple[Int64[Array, " n+1"], Int64[Array, " rows"]]:
    """(`start` of the chosen items alone, the numbers of their rows)."""
    lengths = start[items + 1] - start[items]
    chosen = np.concatenate([[0], np.cumsum(lengths)])
    return chosen, np.repeat(start[items] - chosen[:-1], lengths) + np.arange(chosen[-1])
