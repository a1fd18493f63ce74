"""Key frames one after the other: places in their scene, times, and the recorded path against the poses."""

from collections.abc import Iterator

import numpy as np

from data_prep.record_check import rules
from data_prep.record_check.rules import Rule
from data_prep.root_check.times import FRAME_GAP, MAX_SPEED

SAME_PLACE = 1e-3  # meters between recorded path and poses


def problems(frame: dict, previous: dict | None, place: tuple[str, int]) -> Iterator[tuple[Rule, str]]:
    """The rules that a key frame breaks beside the one before it, and how.

    previous: None for none; place: the scene's name and the frame's number in it by the sidecar.
    """
    if (frame["scene"]["name"], frame["frame_index"]) != place:
        yield rules.ORDER, "is not the frame the sidecar says"
    if frame["frame_index"] == 0 or previous is None:
        if previous is not None and (ended := unfinished(previous)):
            yield rules.ORDER, f"the scene before it {ended}"
        return
    if previous["scene"]["token"] != frame["scene"]["token"] or previous["frame_index"] + 1 != frame["frame_index"]:
        yield rules.ORDER, f"frame {frame['frame_index']} does not follow frame {frame['frame_index'] - 1} of its scene"
        return
    gap = (frame["timestamp"] - previous["timestamp"]) * 1e-6
    if not FRAME_GAP[0] <= gap <= FRAME_GAP[1]:
        yield rules.GAP, f"{gap:.3f} s after the key frame before, 0.5 s are expected"
    here, before = _lidar2global(frame), _lidar2global(previous)
    step = here[:3, 3] - before[:3, 3]
    if np.linalg.norm(step) > MAX_SPEED * max(gap, 0.0):
        yield rules.JUMP, f"the ego pose jumps by {np.linalg.norm(step):.1f} m"
    recorded = previous["ego"]["future_offsets"][0]
    if np.abs(before[:3, :3].T @ step - [*recorded, 0])[:2].max() > SAME_PLACE:
        yield rules.ORDER, "lies elsewhere than the recorded path of the frame before says"


def unfinished(last: dict) -> str | None:
    """How a scene ends whose last key frame this is, if it lacks some."""
    if last["frame_index"] == last["scene_length"] - 1:
        return None
    return f"ends at frame {last['frame_index']} of {last['scene_length']}"


def _lidar2global(frame: dict) -> np.ndarray:
    return frame["ego2global"] @ frame["lidar2ego"]
