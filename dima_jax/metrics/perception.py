"""The student's perception scored over a split: detection, map lines and motion.

Frames are scored one at a time (`score_frame`), so predictions need not be kept; `summarize` makes three tables of the
scores.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dima_jax.detections import Agents, Lines
from dima_jax.metrics import detection, map_ap, motion

PROTOCOLS = {
    "detection": detection.PROTOCOL,
    "map": "chamfer AP (0.5/1/1.5 m), as VAD",
    "motion": "minADE, minFDE, MR, EPA, as VAD (ViP3D)",
}


class FrameScore(NamedTuple):
    """What `summarize` needs of one frame, by task."""

    detection: list[detection.FrameMatches]
    map: list[map_ap.FrameMatches]
    motion: Counter


def score_frame(
    agents: Agents, lines: Lines, recorded_agents: Agents, recorded_lines: Lines, pc_range: Sequence[float]
) -> FrameScore:
    """Scores the decoded predictions of one frame (`detections.py`) against what was recorded."""
    return FrameScore(
        detection=detection.frame_matches(agents, recorded_agents, pc_range),
        map=map_ap.frame_matches(lines, recorded_lines),
        motion=motion.frame_counts(agents, recorded_agents),
    )


def summarize(scores: Sequence[FrameScore]) -> dict[str, dict[str, float]]:
    """{"detection": {"frames", "AP_car", ..., "mAP"}, "map": {...}, "motion": {...}}; NaN where nothing was recorded."""
    metrics = {"detection": detection, "map": map_ap, "motion": motion}
    return {
        name: {"frames": len(scores)} | metric.summarize([getattr(score, name) for score in scores])
        for name, metric in metrics.items()
    }
