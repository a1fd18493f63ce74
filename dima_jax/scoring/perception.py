"""What a student found, from a perception file, against a truth file: the numbers that `evaluate` prints of the same frames.

docs/scores/perception.md defines the metrics. What was recorded is prepared as `data.targets` prepares it for the student:
the ten classes, hit by LiDAR (in a split named train: or by radar), centers strictly inside pc_range; map lines at as many
points as the student's, clipped to pc_range.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from dima_jax import progress
from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.constants import AGENT_CLASSES
from dima_jax.detections import Agents, Lines
from dima_jax.errors import UserError
from dima_jax.metrics import bootstrap, map_ap, motion, perception
from dima_jax.scoring import statistics
from dima_jax.scoring.perception_file import Perception
from dima_jax.scoring.predictions import STEPS, named
from dima_jax.scoring.recorded import Truth
from dima_jax.scoring.result import SCENES_UNKNOWN

# Detection class of each row of the table of categories; -1 = none of the ten.
LABELS = np.array(
    [AGENT_CLASSES.index(CLASS_OF_CATEGORY[name]) if name in CLASS_OF_CATEGORY else -1 for name in LIDARSEG_CATEGORIES]
)
NEEDS = {"detection": "agents", "map": "lines", "motion": "futures", "zero motion": "futures"}


def score(truth: Truth, found: Perception, allow_missing: bool = False) -> dict:
    """`perception` of scores.json; NaN where nothing was recorded, an interval None where it is not known.

    Raises UserError, with the first tokens, for frames that the truth does not have and, unless `allow_missing`, for
    frames of the truth that the file lacks; for a truth without agents.
    """
    if not truth.has("agents"):
        raise UserError(f"{found.file}: the truth has no agents to compare with; make it with data_prep.truth --data")
    frames = _frames(truth, found, allow_missing)
    pc_range, num_points = found.header["pc_range"], found.header["num_points"]
    scores = []
    for index, place in progress.each(frames, len(frames), "frame", name="perception"):
        agents, lines = found.frame(place)
        recorded = recorded_agents(truth, index, pc_range), recorded_lines(truth, index, pc_range, num_points)
        scores.append(perception.score_frame(agents, lines, *recorded, pc_range))
    scenes = truth.scene_names[truth.scene[[index for index, _ in frames]]].tolist()
    if truth.header.get("scenes") == SCENES_UNKNOWN:
        scenes = [""] * len(scenes)
    intervals = bootstrap.perception_intervals(scores, scenes)
    for task, name in (("motion", "motion"), ("zero motion", "zero_motion")):
        intervals[task] = motion_intervals([getattr(one, name) for one in scores], scenes)
    missing = {task: f"the truth has no {group}" for task, group in NEEDS.items() if not truth.has(group)}
    return {
        "planner": found.header["planner"],
        "file": found.file,
        "coverage": {"scored": len(frames), "of": len(truth.tokens)},
        "scenes": None if truth.header.get("scenes") == SCENES_UNKNOWN else len(set(scenes)),
        "pc_range": list(pc_range),
        "num_points": num_points,
        "protocols": perception.PROTOCOLS,
        "why_not": missing,
        "scores": perception.summarize(scores),
        "intervals": intervals,
    }


def recorded_agents(truth: Truth, index: int, pc_range: Sequence[float]) -> Agents:
    """The agents of a frame that a student should have found."""
    rows = np.arange(*truth.agent_start[index : index + 2])
    boxes = np.nan_to_num(truth.boxes[rows], nan=0.0)  # a velocity nuScenes does not know is zero
    labels = LABELS[truth.category[rows]]
    radar = truth.radar_points[rows] if truth.header["split"] == "train" else 0
    inside = ((boxes[:, :2] > pc_range[:2]) & (boxes[:, :2] < pc_range[3:5])).all(axis=1)
    chosen = (labels >= 0) & inside & (truth.lidar_points[rows] + radar > 0)
    rows, boxes = rows[chosen], boxes[chosen]
    boxes[:, 6] -= np.floor(boxes[:, 6] / (2 * np.pi) + 0.5) * 2 * np.pi  # to [-pi, pi)
    steps = (len(rows), STEPS)
    futures = truth.has("futures")
    offsets = truth.future_offsets[rows] if futures else np.zeros((*steps, 2), np.float32)
    return Agents(
        boxes=boxes,
        labels=labels[chosen],
        scores=np.ones(len(rows), np.float32),
        futures=(boxes[:, None, :2] + offsets.cumsum(axis=1))[:, None],
        mode_scores=np.ones((len(rows), 1), np.float32),
        future_mask=truth.future_mask[rows] if futures else np.zeros(steps, bool),
    )


def recorded_lines(truth: Truth, index: int, pc_range: Sequence[float], num_points: int) -> Lines:
    """The map lines of a frame that a student should have found; none where the truth has no lines."""
    lines = range(*truth.line_start[index : index + 2]) if truth.has("lines") else range(0)
    ends = truth.line_vertex_start
    points = [map_ap.resample(truth.line_vertices[ends[line] : ends[line + 1]], num_points) for line in lines]
    clipped = [np.clip(one, pc_range[:2], pc_range[3:5]).astype(np.float32) for one in points]
    labels = truth.line_label[lines.start : lines.stop] if len(lines) else np.zeros(0, np.int8)
    return Lines(clipped, labels, np.ones(len(points), np.float32))


def motion_intervals(counts: Sequence[Counter], scenes: Sequence[str]) -> dict[str, list[float] | None]:
    """Low and high end of each number of `motion.summarize`, by resampling scenes as `metrics.bootstrap` does.

    counts: of each frame. None if fewer than two scenes hold what is counted; resamples without any are left out.
    """
    names, scene = np.unique(np.asarray(scenes, str), return_inverse=True)
    keys = sorted({key for count in counts for key in count})
    sums = np.zeros((len(names), len(keys)))
    np.add.at(sums, scene, np.array([[count[key] for key in keys] for count in counts]).reshape(len(counts), len(keys)))
    drawn = statistics.draws(len(names), bootstrap.AP_RESAMPLES) @ sums
    of_scenes, of_resamples = (_summaries(keys, table) for table in (sums, drawn))
    return {
        name: np.nanpercentile(values, bootstrap.PERCENTILES).tolist()
        if np.isfinite(of_scenes[name]).sum() > 1
        else None
        for name, values in of_resamples.items()
    }


def _summaries(keys: Sequence[str], table: Float[np.ndarray, "rows keys"]) -> dict[str, Float[np.ndarray, " rows"]]:
    """`motion.summarize` of each row of sums."""
    rows = [motion.summarize([Counter(dict(zip(keys, sums, strict=True)))]) for sums in table.tolist()]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _frames(truth: Truth, found: Perception, allow_missing: bool) -> list[tuple[int, int]]:
    """(number in the truth, number in the file) of the frames that are scored, in the order of the truth."""
    place: dict[str, int] = {token: i for i, token in enumerate(found.tokens)}
    tokens = truth.tokens.tolist()
    known = set(tokens)
    if extra := [token for token in found.tokens if token not in known]:
        raise UserError(
            f"{found.file}: {len(extra):,} of {len(place):,} frames are not in the truth: {named(extra)}; "
            "give the truth of that split"
        )
    missing = [token for token in tokens if token not in place]
    if missing and not allow_missing:
        raise UserError(
            f"{found.file}: {len(missing):,} of {len(tokens):,} frames of the truth are not in the file: {named(missing)}; "
            "add them, or score what is there with --allow_missing"
        )
    return [(i, place[token]) for i, token in enumerate(tokens) if token in place]
