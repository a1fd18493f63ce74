"""Agents' boxes one by one, as the public evaluators compute them, and ego boxes."""

from collections.abc import Callable, Iterator

import numpy as np

F = 6
WIDTH, LENGTH, AHEAD = 1.85, 4.084, 0.5
PI, HALF_PI = np.pi, np.pi / 2


def corners(x, y, heading, length, width):
    """Four corners of a box, in the precision of the arguments."""
    cos, sin, l, w = np.cos(heading), np.sin(heading), length / 2, width / 2
    return [(x + (cos * a - sin * b), y + (sin * a + cos * b)) for a, b in ((l, w), (l, -w), (-l, -w), (-l, w))]


def moved(truth, index, keep: Callable[[int], bool]) -> Iterator[tuple[int, int, list]]:
    """(row, step, corners) of this frame's agents that `keep` takes, moved by their own futures; single precision."""
    for row in range(truth.agent_start[index], truth.agent_start[index + 1]):
        if not keep(row):
            continue
        x, y, yaw = truth.boxes[row, 0], truth.boxes[row, 1], truth.boxes[row, 6]
        yaw = yaw - np.floor(yaw / (2 * PI) + 0.5) * 2 * PI
        heading, turned, east, north = -(yaw + HALF_PI), np.float32(0), np.float32(0), np.float32(0)
        for step in range(F):
            east, north = east + truth.future_offsets[row, step, 0], north + truth.future_offsets[row, step, 1]
            turned = turned + truth.future_yaw[row, step]
            if truth.future_mask[row, step]:
                box = corners(x + east, y + north, heading + turned, truth.boxes[row, 4], truth.boxes[row, 3])
                assert box[0][0].dtype == np.float32
                yield row, step, box


def annotated(truth, index, keep: Callable[[int], bool], frame="lidar") -> Iterator[tuple[int, int, list]]:
    """(row, step, corners) of what is annotated at each future key frame, in this frame."""
    own = truth.ego2global[index] @ truth.lidar2ego[index] if frame == "lidar" else truth.ego2global[index]
    back = np.linalg.inv(own)
    for step in range(F):
        for other in range(index + 1, min(index + F + 1, len(truth.tokens))):
            same = truth.scene[other] == truth.scene[index]
            if not same or truth.frame_index[other] != truth.frame_index[index] + step + 1:
                continue
            pose = back @ (truth.ego2global[other] @ truth.lidar2ego[other])
            for row in range(truth.agent_start[other], truth.agent_start[other + 1]):
                if keep(row):
                    center = pose @ [*truth.boxes[row, :3].astype(float), 1.0]
                    heading = -(float(truth.boxes[row, 6]) + HALF_PI)
                    ahead = pose[:2, :2] @ [np.cos(heading), np.sin(heading)]
                    size = truth.boxes[row, 4].astype(float), truth.boxes[row, 3].astype(float)
                    yield row, step, corners(center[0], center[1], np.arctan2(ahead[1], ahead[0]), *size)


def ego(x, y, heading):
    """Corners of the ego's box about a point of the LiDAR."""
    return corners(x + AHEAD * np.cos(heading), y + AHEAD * np.sin(heading), heading, LENGTH, WIDTH)
