"""What the student is given of the ego, CAN bus and command, and the arms that withhold some of it.

`config.data.ego_status` and `config.data.command` act here, for training, evaluation and the blind planner alike.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dima_jax import config_check
from dima_jax.constants import COMMANDS, FORWARD_SPEED, STEP_SECONDS
from dima_jax.data import targets, windows
from dima_jax.data.records import Records

STRAIGHT = COMMANDS.index("straight")
NUMBERS = ("frame_index", "can_bus", "ego")  # of a record: an eighth of the time of decoding it whole


def can_bus_input(can_bus: list[np.ndarray], ego_status: str, records) -> np.ndarray:
    """Absolute CAN bus of frames in a row, each [18], to [T, 18] float32 as the student reads it.

    ego_status, of config.data: "full", VAD's input (docs/vad.md#can-bus); "speed", the forward speed alone, and straight
    ahead along global x the way it makes since the frame before, so that the previous BEV is moved by it; "none", all
    zeros. With full status a planner that sees nothing is good already, so only the others show what images bring.
    records [T]: the frames' record numbers, consecutive every STEP_SECONDS. Raises UserError for another ego_status.
    """
    config_check.check_value("data.ego_status", ego_status)
    absolute = np.stack(can_bus)
    if ego_status == "full":
        return windows.can_bus_deltas(absolute).astype(np.float32)
    result = np.zeros(absolute.shape, np.float32)
    if ego_status == "speed":
        speed = absolute[:, FORWARD_SPEED]
        result[:, FORWARD_SPEED] = speed
        result[:, 0] = speed * STEP_SECONDS * np.diff(records, prepend=records[0])
    return result


def command_input(command: int, given: bool) -> np.ndarray:
    """One-hot [3] float32; always "straight" for the control without commands."""
    return np.eye(len(COMMANDS), dtype=np.float32)[command if given else STRAIGHT]


class EgoSamples(NamedTuple):
    """n key frames without their images.

    can_bus [n, 18] and command [n, 3]: the student's inputs at evaluation (`sequences.Drives`), with the frame before.
    waypoints [n, F, 2]: the recorded path, meters, LiDAR frame of the key frame; mask [n, F]: where it is known.
    """

    can_bus: np.ndarray
    command: np.ndarray
    waypoints: np.ndarray
    mask: np.ndarray


def read(config, split: str, most: int | None = None) -> EgoSamples:
    """The key frames of a split, or `most` of them, evenly spaced; images are not decoded.

    UserError if the records are missing or damaged.
    """
    data = config.data
    records = Records(data.path, split)
    count = min(most or len(records), len(records))
    numbers = lru_cache(maxsize=2)(lambda i: records.decode(i, NUMBERS))
    samples = []
    for i in np.linspace(0, len(records) - 1, count).round().astype(int).tolist():
        frame = numbers(i)
        first = i - 1 if frame["frame_index"] else i
        absolute = [numbers(first)["can_bus"], frame["can_bus"]]
        ego = targets.ego_targets(frame["ego"])
        samples.append(
            EgoSamples(
                can_bus_input(absolute, data.ego_status, [first, i])[1],
                command_input(frame["ego"]["command"], data.command),
                np.cumsum(ego.future_offsets, axis=0),
                ego.future_mask,
            )
        )
    return EgoSamples(*(np.stack(field) for field in zip(*samples, strict=True)))
