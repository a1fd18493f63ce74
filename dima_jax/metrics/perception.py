"""The student's perception scored over a split: detection, map lines and motion, and motion if nothing moved.

Frames are scored one at a time (`score_frame`), so predictions need not be kept; `summarize` makes tables of the scores.
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
    "zero motion": "as motion, of the same agents if each stayed where it is",
}


class FrameScore(NamedTuple):
    """What `summarize` needs of one frame, by task."""

    detection: list[detection.FrameMatches]
    map: list[map_ap.FrameMatches]
    motion: Counter
    zero_motion: Counter


def score_frame(
    agents: Agents, lines: Lines, recorded_agents: Agents, recorded_lines: Lines, pc_range: Sequence[float]
) -> FrameScore:
    """Scores the decoded predictions of one frame (`detections.py`) against what was recorded."""
    return FrameScore(
        detection=detection.frame_matches(agents, recorded_agents, pc_range),
        map=map_ap.frame_matches(lines, recorded_lines),
        motion=motion.frame_counts(agents, recorded_agents),
        zero_motion=motion.frame_counts(motion.standing(agents), recorded_agents),
    )


def summarize(scores: Sequence[FrameScore]) -> dict[str, dict[str, float]]:
    """{"detection": {"frames", "AP_car", ..., "mAP"}, "map", "motion", "zero motion"}; NaN where nothing was recorded."""
    tables = {
        "detection": detection.summarize([score.detection for score in scores]),
        "map": map_ap.summarize([score.map for score in scores]),
        "motion": motion.summarize([score.motion for score in scores]),
        "zero motion": motion.summarize([score.zero_motion for score in scores]),
    }
    return {name: {"frames": len(scores)} | row for name, row in tables.items()}
