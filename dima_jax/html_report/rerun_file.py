"""Scenes for the viewer of Rerun (rerun.io): a timeline for each, with ego, plans, agents, map and cameras.

All is in the LiDAR frame of the moment (x right, y forward, z up, meters; the road is at z = -LIDAR_HEIGHT).
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dima_jax.constants import EGO_LENGTH, EGO_WIDTH, LIDAR_HEIGHT, MAP_CLASSES, STEP_SECONDS
from dima_jax.errors import UserError
from dima_jax.html_report import images, series, worst
from dima_jax.html_report.bev import kind_of
from dima_jax.html_report.series import Series
from dima_jax.metrics.protocols.paradrive_std import ego_boxes
from dima_jax.output_files import new_file
from dima_jax.scoring.frames_file import Frames
from dima_jax.scoring.npz_file import Arrays
from dima_jax.scoring.recorded import Truth

ROAD = -LIDAR_HEIGHT
EGO_HEIGHT = 1.56  # meters, of nuScenes' car
RECORDED, EGO, AGENT, LINE = (90, 95, 105), (40, 44, 52), (150, 160, 172), (190, 185, 170)
COLORS = ((21, 96, 168), (179, 83, 11), (0, 119, 106), (123, 63, 152), (119, 104, 10), (160, 44, 99))


def package() -> Any:
    """Rerun's. UserError where it is not installed."""
    try:
        return importlib.import_module("rerun")
    except ImportError:
        raise UserError("--rerun needs the package of rerun.io; pip install 'dima_jax[rerun]'") from None


def write(path: str | Path, result: dict, frames: Frames, truth: Truth, pictures: images.Images | None = None) -> Path:
    """Writes the scenes of the worst frames of the first planner, `worst.MOST` of them; arguments as for `page.write`.

    UserError where Rerun is not installed or the file cannot be written.
    """
    rerun, arrays = package(), frames.arrays
    everybody = series.all_series(result, arrays["planners"])
    focus = series.first(everybody)
    chosen = worst.choose(result, arrays, focus.row) if focus else []
    scenes = list(dict.fromkeys(int(truth.scene[one.frame]) for one in chosen))[: worst.MOST]
    with new_file(path) as part:
        recording = rerun.RecordingStream("dima_jax_scores")
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)
        recording.save(part)
        recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for scene in scenes:
            for index in np.flatnonzero(truth.scene == scene).tolist():
                recording.reset_time()
                recording.set_time(str(truth.scene_names[scene]), duration=_seconds(truth, index))
                _log_frame(rerun, recording, truth, index, arrays, everybody)
                if pictures:
                    _log_cameras(rerun, recording, pictures(str(truth.tokens[index])))
        recording.disconnect()
    return Path(path)


def _seconds(truth: Truth, index: int) -> float:
    """Since the first frame of its scene."""
    first = int(np.flatnonzero(truth.scene == truth.scene[index])[0])
    if truth.timestamp is not None:
        return float(truth.timestamp[index] - truth.timestamp[first]) / 1e6
    return STEP_SECONDS * (index - first)


def _log_frame(rerun: Any, recording: Any, truth: Truth, index: int, arrays: Arrays, everybody: list[Series]) -> None:
    _log_boxes(rerun, recording, "world/ego", ego_boxes(np.array([[[0.0, 0.0, np.pi / 2]]]))[0], EGO)
    if truth.path is not None:
        known = truth.path[index] if truth.path_mask is None else truth.path[index][truth.path_mask[index]]
        _log_line(rerun, recording, ["world", "recorded path"], known, RECORDED)
    for one in everybody if "plans" in arrays else ():
        plan = arrays["plans"][one.row, index]
        color = COLORS[one.row % len(COLORS)] if one.kind == "prediction" else AGENT
        place = ["world", "plans", one.name]
        if np.isfinite(plan).all():
            _log_line(rerun, recording, [*place, "path"], plan[:, :2], color)
            _log_boxes(rerun, recording, [*place, "boxes"], ego_boxes(plan[None])[0], color)
        else:  # or the viewer shows the plan of the frame before
            recording.log(place, rerun.Clear(recursive=True))
    if truth.agent_start is not None:
        _log_agents(rerun, recording, truth, index)
    if truth.line_start is not None:
        _log_map(rerun, recording, truth, index)


def _log_agents(rerun: Any, recording: Any, truth: Truth, index: int) -> None:
    first, end = truth.agent_start[index : index + 2].tolist()
    boxes = truth.boxes[first:end].astype(np.float64)
    recording.log(
        "world/agents",
        rerun.Boxes3D(
            centers=boxes[:, :3],
            half_sizes=boxes[:, [4, 3, 5]] / 2,
            quaternions=_turned(-boxes[:, 6] - np.pi / 2),
            labels=[kind_of(truth, row) for row in range(first, end)],
            show_labels=False,
            colors=AGENT,
        ),
    )


def _log_map(rerun: Any, recording: Any, truth: Truth, index: int) -> None:
    lines: dict[str, list] = {name: [] for name in MAP_CLASSES}
    for line in range(*truth.line_start[index : index + 2]):
        xy = truth.line_vertices[slice(*truth.line_vertex_start[line : line + 2])]
        lines[MAP_CLASSES[truth.line_label[line]]].append(_on_road(xy))
    for name, strips in lines.items():
        recording.log(["world", "map", name], rerun.LineStrips3D(strips, colors=LINE))


def _log_cameras(rerun: Any, recording: Any, files: dict[str, bytes]) -> None:
    for camera, jpeg in files.items():
        small = images.smaller(jpeg)
        shown = rerun.EncodedImage(contents=small[0], media_type="image/jpeg") if small else rerun.Clear(recursive=True)
        recording.log(["cameras", camera], shown)


def _log_line(rerun: Any, recording: Any, place: list, xy: Float[np.ndarray, "n 2"], color: tuple) -> None:
    recording.log(place, rerun.LineStrips3D([_on_road(np.vstack([np.zeros((1, 2)), xy]))], colors=[color], radii=0.08))


def _log_boxes(rerun: Any, recording: Any, place: str | list, boxes: Float[np.ndarray, "n 5"], color: tuple) -> None:
    """Boxes of the ego: x, y, heading, length, width."""
    centers = np.concatenate([boxes[:, :2], np.full((len(boxes), 1), ROAD + EGO_HEIGHT / 2)], axis=1)
    half = np.broadcast_to(np.array([EGO_LENGTH, EGO_WIDTH, EGO_HEIGHT]) / 2, (len(boxes), 3))
    turned = _turned(boxes[:, 2].astype(np.float64))
    recording.log(place, rerun.Boxes3D(centers=centers, half_sizes=half, quaternions=turned, colors=color))


def _turned(heading: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Quaternions x, y, z, w of turns around z."""
    zero = np.zeros_like(heading)
    return np.stack([zero, zero, np.sin(heading / 2), np.cos(heading / 2)], axis=-1)


def _on_road(xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    return np.concatenate([xy, np.full((len(xy), 1), ROAD)], axis=1)
