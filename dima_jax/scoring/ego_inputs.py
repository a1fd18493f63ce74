"""What a planner that sees nothing is told of the ego: what a student reads, from a truth file instead of records.

`given`, of the header of a file of plans, says what the student was told, and whoever is compared with it is told no more.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from dima_jax.constants import COMMANDS, FORWARD_SPEED, STEP_SECONDS
from dima_jax.errors import UserError
from dima_jax.scoring.recorded import Truth

CHANGING = (0, 1, 2, 17)  # of the CAN bus: position and yaw, read as the change since the frame before
EGO_STATUS = {"full": "full ego status", "speed": "speed", "none": ""}  # as a row's name says it
NEEDS = ("ego_inputs", "commands", "scenes")  # groups of the truth


class Given(NamedTuple):
    """What a student is told, as `config.data` says it: ego_status, a key of EGO_STATUS; command: or always straight."""

    ego_status: str = "full"
    command: bool = True

    @property
    def words(self) -> str:
        """E.g. "speed, command"."""
        return ", ".join(filter(None, [EGO_STATUS[self.ego_status], "command" if self.command else ""])) or "nothing"


def given(told: Any) -> Given:
    """Of a header's `given`; all that there is, where it does not say. UserError for what is not known."""
    told = Given()._asdict() | dict(told if isinstance(told, Mapping) else {})
    if told["ego_status"] not in list(EGO_STATUS) or type(told["command"]) is not bool:
        raise UserError(
            f"given.ego_status is {told['ego_status']!r:.40}, given.command {told['command']!r:.40} in the header of the "
            f"plans; say one of {', '.join(EGO_STATUS)}, and true or false"
        )
    return Given(told["ego_status"], told["command"])


def follows(truth: Truth) -> Bool[np.ndarray, " N"]:
    """Whether the row before is the key frame before, of the same scene; False where the truth does not say."""
    result = np.zeros(len(truth.tokens), bool)
    if truth.frame_index is not None:
        result[1:] = (np.diff(truth.scene) == 0) & (np.diff(truth.frame_index) == 1)
    return result


def of(truth: Truth, told: Given) -> Float32[np.ndarray, "N 21"]:
    """The student's CAN bus numbers [18] at evaluation, with the frame before, and the command [3], one-hot.

    NaN where the frame before is needed and is not there. The truth has the groups NEEDS.
    """
    return np.concatenate([can_bus(truth, told.ego_status), command(truth, told.command)], axis=1)


def can_bus(truth: Truth, ego_status: str) -> Float32[np.ndarray, "N 18"]:
    """As `data.ego_inputs.can_bus_input` has it of each frame and the one before; zero change in a scene's first."""
    result = np.zeros(truth.can_bus.shape, np.float32)
    if ego_status == "none":
        return result
    after = follows(truth)
    if ego_status == "full":
        change = np.zeros(truth.can_bus.shape)
        change[1:] = np.diff(truth.can_bus, axis=0)
        columns = np.isin(np.arange(truth.can_bus.shape[1]), CHANGING)
        result[:] = np.where(columns, np.where(after[:, None], change, 0.0), truth.can_bus)
    else:
        speed = truth.can_bus[:, FORWARD_SPEED]
        result[:, FORWARD_SPEED], result[:, 0] = speed, speed * STEP_SECONDS * after
    if truth.frame_index is not None:
        result[(truth.frame_index > 0) & ~after] = np.nan
    return result


def command(truth: Truth, told: bool) -> Float32[np.ndarray, "N 3"]:
    """One-hot; always "straight" where it is not told."""
    straight = np.full(len(truth.tokens), COMMANDS.index("straight"))
    return np.eye(len(COMMANDS), dtype=np.float32)[truth.command if told else straight]
