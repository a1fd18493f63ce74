"""What passes between the parts: the batch, the scene tokens, and what student, teacher and losses return.

Axis letters (the whole project): B batch, T frames, N cameras, H W image, C channels, X Y BEV columns/rows, A agent
queries, G padded ground-truth agents, M map queries, L padded map targets, O vertex orders of a map target, P points of
a line, K motion modes, F future steps, R commands, S text tokens, V vocabulary, D student width, E LLM width,
Z decoder layers (Za of the agent decoder, Zm of the map decoder), Q scene-edit texts. Masks: True = real.
Frames: LiDAR frame of the current key frame unless said otherwise: x right, y forward, z up; meters, seconds, radians.
"""

from typing import NamedTuple

import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8

LevelShapes = tuple[tuple[int, int], ...]  # (rows, columns) of each level of image features or of a BEV

AnyArray = Array | np.ndarray  # of functions that serve the host and the device alike


class Term(NamedTuple):
    """One term of the loss as a sum and the count that it is divided by, once, in `losses/dima_loss.py`."""

    sum: Float[Array, ""]
    count: Float[Array, ""]


@struct.dataclass
class Frame:
    """What the student sees of one key frame; also the inputs of the exported ONNX (plus `prev_bev`).

    images: resized, color order and padding (right, bottom) as the config says; normalized inside the student.
    lidar2img: LiDAR frame of *this* frame to pixels of the resized image.
    can_bus: VAD's 18 numbers with position [0:3] and yaw [17, degrees] as deltas to the previous frame.
    command: one-hot [right, left, straight].
    """

    images: UInt8[Array, "B N H W 3"]
    lidar2img: Float[Array, "B N 4 4"]
    can_bus: Float[Array, "B 18"]
    command: Float[Array, "B 3"]


@struct.dataclass
class AgentTargets:
    """Ground-truth agents of the current frame.

    boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of gravity; yaw_box = -heading - pi/2 (mmdet3d 0.17).
    category: index in the 32-entry lidarseg category table (quirk Q2), for the collision metric.
    future_yaw: per-step heading differences, radians.
    """

    boxes: Float[Array, "B G 9"]
    labels: Int[Array, "B G"]
    category: Int[Array, "B G"]
    mask: Bool[Array, "B G"]
    future_offsets: Float[Array, "B G F 2"]
    future_mask: Bool[Array, "B G F"]
    future_yaw: Float[Array, "B G F"]


@struct.dataclass
class MapTargets:
    """Ground-truth map lines around the ego: every equivalent vertex order of each line.

    points: meters. normalized_points: the same, [0, 1] inside pc_range; divided on the host in float32, as the reference
    does, because XLA multiplies by a reciprocal and so may miss an exact 0 or 1 where a line ends at the range's border.
    order_mask: the orders that a line has (O is the most that any has).
    """

    points: Float[Array, "B L O P 2"]
    normalized_points: Float[Array, "B L O P 2"]
    order_mask: Bool[Array, "B L O"]
    labels: Int[Array, "B L"]
    mask: Bool[Array, "B L"]


@struct.dataclass
class EgoTargets:
    """The recorded path: per-step displacements of the LiDAR position in the current LiDAR frame, 0.5 s apart."""

    future_offsets: Float[Array, "B F 2"]
    future_mask: Bool[Array, "B F"]
    history_offsets: Float[Array, "B 2 2"]


@struct.dataclass
class Text:
    """Token ids of prompt + answer, right-padded. answer_mask marks the tokens that are predicted (the answer)."""

    tokens: Int[Array, "B S"]
    mask: Bool[Array, "B S"]
    answer_mask: Bool[Array, "B S"]


@struct.dataclass
class EditText:
    """The question and answer of every possible scene edit, one row per entry of `data.prompts.EDIT_TEXTS`."""

    tokens: Int[Array, "B Q S"]
    mask: Bool[Array, "B Q S"]
    answer_mask: Bool[Array, "B Q S"]


@struct.dataclass
class TaughtEgo:
    """What a teacher said of the current frame, read from files (`teacher_cache.py`); see `TeacherOutput`. ego_offsets: None of a
    teacher that plans nothing.
    """

    ego_feature: Float[Array, "B D2"]
    ego_offsets: Float[Array, "B R F 2"] | None


@struct.dataclass
class Facts:
    """What questions say of the current frame (`data/facts.py`), f = NUM_FACTS. holds: False where it is not known."""

    known: Bool[Array, "B f"]
    holds: Bool[Array, "B f"]


@struct.dataclass
class Distortion:
    """VAD's photometric distortion of every image of a window, by numbers drawn on the host (`data/distortion.py`).

    amounts: added brightness (gray levels), contrast before the color steps, saturation, added hue (degrees from the
        first channel towards the second), contrast after them. (0, 1, 1, 0, 1) is none.
    channels: which channel becomes the first, the second and the third one.
    mask: False: the image stays as it is.
    """

    amounts: Float[Array, "B T N 5"]
    channels: Int[Array, "B T N 3"]
    mask: Bool[Array, "B T N"]


@struct.dataclass
class Batch:
    """B windows of T = history + 1 + future key frames; the current frame is index `history` (config.data).

    images/lidar2img/can_bus: as in `Frame`, with a frame axis. can_bus deltas are those of the window (first frame zero).
    frame_mask: False where the window has no such frame (`windows.window`): before the current one, the memory of the BEV
        begins later; after it, images are blank.
    frame_to_current: LiDAR frame of frame t -> LiDAR frame of the current frame.
    index: position of the window's current frame in the split (for logs and resume tests).
    taught: with `distill.cache`. facts: with `auxiliary.facts`. distortion: with `data.photometric`; the student applies it
        (`student/photometric.py`).
    """

    images: UInt8[Array, "B T N H W 3"]
    lidar2img: Float[Array, "B T N 4 4"]
    can_bus: Float[Array, "B T 18"]
    frame_mask: Bool[Array, "B T"]
    frame_to_current: Float[Array, "B T 4 4"]
    command: Float[Array, "B 3"]
    agents: AgentTargets
    map: MapTargets
    ego: EgoTargets
    text: Text
    edit_text: EditText
    index: Int[Array, " B"]
    taught: TaughtEgo | None = None
    facts: Facts | None = None
    distortion: Distortion | None = None


@struct.dataclass
class SceneTokens:
    """BEAM: the tokens that student and teacher share. Positions are normalized to [0, 1] by pc_range.

    bev: flattened row-major, index = row * X + col, row ~ y (0 = behind), col ~ x (0 = left).
    ego: the learned ego query, before it attends to agents and map.
    can_bus, command: what the student was given, as in `Frame`; None if it decoded a BEV without its frame.
    """

    bev: Float[Array, "B YX D"]
    ego: Float[Array, "B 1 D"]
    agents: Float[Array, "B A D"]
    agent_positions: Float[Array, "B A 2"]
    map: Float[Array, "B M D"]
    map_positions: Float[Array, "B M 2"]
    can_bus: Float[Array, "B 18"] | None = None
    command: Float[Array, "B 3"] | None = None


class QueryGroups(NamedTuple):
    """Further groups of queries for the student's two decoders, as many as its own in each group; training only."""

    agents: Float[Array, "gA D2"] | None
    map: Float[Array, "gM D2"] | None


@struct.dataclass
class GroupOutput:
    """What further groups of queries predict, every decoder layer of one group after the other: as in StudentOutput.

    None for a decoder without further groups.
    """

    agent_logits: Float[Array, "gZa B A 10"] | None
    agent_codes: Float[Array, "gZa B A 10"] | None
    map_logits: Float[Array, "gZm B M 3"] | None
    map_points: Float[Array, "gZm B M P 2"] | None


@struct.dataclass
class AuxiliaryOutput:
    """Logits of every cell by class, agents first, then map lines (`auxiliary.py`); None for a head that is off.

    image_logits, image_depths: by pyramid level; the depth is the natural logarithm of meters along the optical axis.
    fact_logits: of each fact (`data/facts.py`).
    """

    image_logits: list[Float[Array, "B N _ _ 13"]] | None
    image_depths: list[Float[Array, "B N _ _"]] | None
    bev_logits: Float[Array, "B YX 13"] | None
    fact_logits: Float[Array, "B f"] | None = None


@struct.dataclass
class StudentOutput:
    """Everything the student predicts for the current frame (raw: logits, codes, normalized points).

    agent_codes: (cx, cy, log w, log l, cz, log h, sin yaw_box, cos yaw_box, vx, vy), meters.
    agent_future_offsets, ego_offsets: meters per 0.5 s step.
    map_points: normalized by pc_range to [0, 1].
    ego_feature: input of the planner's last Linear (2D wide), what distillation compares (D6).
    groups: predictions of further groups of queries, in training with `auxiliary.agent_groups` or `map_groups`.
    """

    tokens: SceneTokens
    agent_logits: Float[Array, "Za B A 10"]
    agent_codes: Float[Array, "Za B A 10"]
    agent_future_offsets: Float[Array, "B A K F 2"]
    agent_mode_logits: Float[Array, "B A K"]
    map_logits: Float[Array, "Zm B M 3"]
    map_points: Float[Array, "Zm B M P 2"]
    ego_offsets: Float[Array, "B R F 2"]
    ego_feature: Float[Array, "B D2"]
    groups: GroupOutput | None = None


def edited_samples(x: Array, count: int) -> Array:
    """The samples [count, ...] of a batch [B, ...] that are edited: the first of every B / count.

    Spread evenly, so that each device of a mesh edits samples of its own.
    """
    return x.reshape(count, -1, *x.shape[1:])[:, 0] if count else x[:0]


@struct.dataclass
class EditOutput:
    """The edited pass (D10), for the share of the batch that was edited: B' samples, see `edited_samples`.

    agent_centers/agent_future_offsets/agent_mask: the vehicles that remain or were added, meters; one motion mode each;
    A1 = A + 1, the last is the added one.
    touches_path: True where the edit changes what the recorded path meets, so imitation does not apply.
    edited: False where nothing could be edited, so no term of the edit applies (answer_mask is False there already).
    text_logits, tokens, answer_mask: the edit's question and answer.
    """

    ego_offsets: Float[Array, "B R F 2"]
    agent_centers: Float[Array, "B A1 2"]
    agent_future_offsets: Float[Array, "B A1 F 2"]
    agent_mask: Bool[Array, "B A1"]
    touches_path: Bool[Array, " B"]
    edited: Bool[Array, " B"]
    text_logits: Float[Array, "B S V"]
    tokens: Int[Array, "B S"]
    answer_mask: Bool[Array, "B S"]


@struct.dataclass
class TeacherOutput:
    """What the multi-modal LLM returns for the current frame.

    ego_feature: the teacher ego feature (D5), as wide as the student's.
    bev_*: on the grid of BEV queries (g cells): reconstruction of the current BEV, mask of the masked cells, prediction
    of the BEV 0.5 s and 1.0 s ahead.
    """

    ego_feature: Float[Array, "B D2"]
    ego_offsets: Float[Array, "B R F 2"]
    agent_future_offsets: Float[Array, "B A F 2"]
    text_logits: Float[Array, "B S V"]
    bev_reconstruction: Float[Array, "B g D"]
    bev_masked: Bool[Array, "B g"]
    bev_future: Float[Array, "B 2 g D"]
    edit: EditOutput
