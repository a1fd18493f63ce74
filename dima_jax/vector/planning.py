"""Vector mode: the plans of recorded frames, as `dima_jax.scoring` reads them (docs/evidence.md#vector-mode).

    tokens, frames = recorded_frames(config, "val")
    graph, params = weights.split(students.build(config, rngs))
    waypoints = plans(graph, params, frames, jax.random.key(0))
    scoring.predictions.write(path, tokens, arrays(waypoints), header)           header["frame"] is "lidar"

Nothing here holds a state: for many seeds, `jax.vmap` over params and key.
"""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax import geometry, weights
from dima_jax.data import facts, held_out, targets
from dima_jax.data.ego_inputs import can_bus_input, command_input
from dima_jax.data.prompts import EDIT_TEXTS, tokenizer_of
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.types import Batch, EditText, Facts, MapTargets, TaughtEgo, Text

NEEDED = ("frame_index", "can_bus", "agents", "map", "ego")  # of a record


def plans(
    graph: nnx.GraphDef, params: Mapping, batch: Batch, key: jax.Array, *, history: int = 0
) -> Float[Array, "B F 2"]:
    """Waypoints of each sample's command, meters in the LiDAR frame of its current frame, 0.5 s apart.

    graph, params: of a vector student, as `weights.split` gives them. key: of the noise, which each sample draws by its
    `index`: the same key and frame, the same noise. history: place of the current frame in the window.
    """
    output = weights.bind(graph, params)(batch, history=history, key=key)
    return _commanded(output.ego_offsets, batch)


def teacher_plans(
    graph: nnx.GraphDef, params: Mapping, batch: Batch, key: jax.Array, *, history: int = 0
) -> Float[Array, "B F 2"]:
    """As `plans`, of the teacher: what is driven where an LLM itself drives, as in DriveVLM and Senna.

    graph, params: of a whole model (`dima.DiMA`), its LLM included. The teacher reads the tokens of a student that was told
    what `plans` tells it with the same key; the text is not read (D3). ValueError for a model without a teacher.
    """
    if not weights.with_prefix(params, "teacher/"):
        raise ValueError("this model has no teacher; build it with teacher.enabled=True")
    return _commanded(taught(graph, params, batch, key, history=history).ego_offsets, batch)


def taught(graph: nnx.GraphDef, params: Mapping, batch: Batch, key: jax.Array, *, history: int = 0) -> TaughtEgo:
    """What a whole model (`dima.DiMA`) tells its pupils of each sample: ego feature and plan of its LLM or, without one, of its
    student. key, history: as in `plans`.
    """
    model = weights.bind(graph, params)
    output = model.student(batch, history=history, key=key)
    if model.teacher is not None:
        return TaughtEgo(*model.teacher.plan(output.tokens))
    return TaughtEgo(output.ego_feature, output.ego_offsets)


def _commanded(ego_offsets: Float[Array, "B R F 2"], batch: Batch) -> Float[Array, "B F 2"]:
    """Waypoints of each sample's command."""
    return geometry.offsets_to_waypoints(jnp.einsum("brft,br->bft", ego_offsets, batch.command))


def arrays(waypoints: Float[Array, "B F 2"]) -> dict[str, np.ndarray]:
    """The arrays of `scoring.predictions.write`."""
    return {"plans": np.asarray(waypoints, np.float64)}


def recorded_frames(config: ConfigDict, split: str) -> tuple[list[str], Batch]:
    """(sample tokens, windows of one frame) of all frames of a split in the order of its records, as numpy arrays; of the
    training split with the facts of `auxiliary.facts`, and without the paths of `data.hold_out_paths`.

    What plans and their losses read; there are no images (0 cameras), no text, and of each line the first vertex order
    alone, which is the one that is told. What the CAN bus says of the frame before is 0 with `data.history=0`, as it is in
    training. UserError if the records are missing, damaged or empty.
    """
    records = Records(config.data.path, split)
    if not len(records):
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    is_training = split == config.data.train_split
    held = held_out.frames(records, config.data.hold_out_paths if is_training else ())
    kind = "train" if is_training else split  # other rules for agents, whatever the split is called
    frames = _stacked(_window(config, records, kind, i, is_held_out=bool(held[i])) for i in range(len(records)))
    if is_training and config.auxiliary.facts:
        frames = frames.replace(facts=_known_facts(config, records))
    return list(records.samples), frames


def _stacked(samples: Iterable):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *samples)


def _known_facts(config: ConfigDict, records: Records) -> Facts:
    chosen, tokenizer = facts.of_training(config), tokenizer_of(config)
    said = (facts.said(records.decode(i, facts.FIELDS), tokenizer, config.data.max_text) for i in range(len(records)))
    return _stacked(facts.targets(chosen, one) for one in said)


def _window(config: ConfigDict, records: Records, kind: str, i: int, *, is_held_out: bool) -> Batch:
    """Without batch axis."""
    data, student = config.data, config.student
    record = records.decode(i, NEEDED)
    first = i - 1 if data.history and record["frame_index"] else i
    can_bus = [records.decode(first, ("can_bus",))["can_bus"], record["can_bus"]]
    no_text = np.zeros(data.max_text, np.int32), *[np.zeros(data.max_text, bool)] * 2
    return Batch(
        images=np.zeros((1, 0, *data.image_shape, 3), np.uint8),
        lidar2img=np.zeros((1, 0, 4, 4), np.float32),
        can_bus=can_bus_input(can_bus, data.ego_status, [first, i])[1:],
        frame_mask=np.ones(1, bool),
        frame_to_current=np.eye(4, dtype=np.float32)[None],
        command=command_input(record["ego"]["command"], data.command),
        agents=targets.agent_targets(record["agents"], kind, student.pc_range, data.max_agents)[0],
        map=_first_order(targets.map_targets(record["map"], student.pc_range, student.num_points, data.max_map)[0]),
        ego=targets.ego_targets(record["ego"], is_held_out=is_held_out),
        text=Text(*no_text),
        edit_text=EditText(*(np.repeat(x[None], len(EDIT_TEXTS), axis=0) for x in no_text)),
        index=np.int32(i),
    )


def _first_order(lines: MapTargets) -> MapTargets:
    """Without batch axis. Its arrays do not keep those of all orders in memory."""
    names = ("points", "normalized_points", "order_mask")
    return lines.replace(**{name: getattr(lines, name)[:, :1].copy() for name in names})
