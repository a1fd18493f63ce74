"""What the student sees, scored over a split: agents found, map lines found, futures predicted.

A frame is scored as it comes (`score_frame`), so no prediction is kept; `summarize` turns the scores into three tables.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dima_jax.metrics import detection, map_ap, motion
from dima_jax.metrics.decode import Agents, Lines

PROTOCOLS = {
    "detection": detection.PROTOCOL,
    "map": "chamfer AP (0.5/1/1.5 m), as VAD",
    "motion": "minADE, minFDE, MR, EPA, as VAD (ViP3D)",
}


class FrameScore(NamedTuple):
    detection: list[detection.FrameMatches]
    map: list[map_ap.FrameMatches]
    motion: Counter


def score_frame(agents: Agents, lines: Lines, recorded_agents: Agents, recorded_lines: Lines, pc_range) -> FrameScore:
    """Scores the decoded predictions of one frame (`metrics.decode`) against what was recorded."""
    return FrameScore(
        detection=detection.frame_matches(agents, recorded_agents, pc_range),
        map=map_ap.frame_matches(lines, recorded_lines),
        motion=motion.frame_counts(agents, recorded_agents),
    )


def summarize(scores: Sequence[FrameScore]) -> dict[str, dict[str, float]]:
    """{"detection": {"frames", "AP_car", ..., "mAP"}, "map": {...}, "motion": {...}}; NaN where nothing was recorded."""
    rooms = {"detection": detection, "map": map_ap, "motion": motion}
    return {
        name: {"frames": len(scores)} | room.summarize([getattr(score, name) for score in scores])
        for name, room in rooms.items()
    }
