"""DiMA on one page: a student that plans from cameras, and a multi-modal LLM that teaches it.

    images -> student.scene encoder -> SceneTokens -> student.planner -> StudentOutput --+
                                            |                                            +-> dima_loss
                                            +--(gradient flows, D11)--> teacher ---------+

At inference only the student is left. The teacher is None in stages 1 and 2 (D13).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from ml_collections import ConfigDict

from dima_jax.student import student as student_lib
from dima_jax.student.student import Student
from dima_jax.teacher import teacher as teacher_lib
from dima_jax.teacher.teacher import Teacher
from dima_jax.types import Batch, Frame, StudentOutput, TeacherOutput


class DiMAOutput(NamedTuple):
    """future_bevs: [B, 2, YX, D], BEVs of the next two key frames in their own LiDAR frames (None without teacher)."""

    student: StudentOutput
    teacher: TeacherOutput | None
    future_bevs: jax.Array | None


class DiMA(nnx.Module):
    def __init__(self, student: Student, teacher: Teacher | None):
        self.student = student
        if teacher is not None:
            self.teacher = teacher

    def __call__(self, batch: Batch, *, history: int, key: jax.Array, is_training: bool) -> DiMAOutput:
        """One window each: history frames give the previous BEV, the current frame is planned, future frames are targets.

        History and future frames are encoded as at inference and without gradient (VAD's obtain_history_bev; D9).
        """
        student_key, teacher_key = jax.random.split(key)
        size = len(batch.frame_mask)
        before, after = self._encode_other_frames(batch, history)
        nothing = (self.student.empty_bev(size), jnp.zeros(size, bool))
        (bev, has_bev), _ = self._scan_bev(before, nothing)
        current = Frame(batch.images[:, history], batch.lidar2img[:, history], batch.can_bus[:, history], batch.command)
        output = self.student(current, bev, has_bev, is_training=is_training, key=student_key)
        if not hasattr(self, "teacher"):
            return DiMAOutput(output, None, None)
        _, future_bevs = self._scan_bev(after, (output.tokens.bev, jnp.ones(size, bool)))
        taught = self.teacher(
            output.tokens,
            output,
            batch.text,
            batch.edit_text,
            batch.command,
            batch.ego,
            key=teacher_key,
            is_training=is_training,
        )
        return DiMAOutput(output, taught, jnp.moveaxis(future_bevs, 0, 1))

    def _encode_other_frames(self, batch: Batch, history: int):
        """What the BEV encoder reads of the frames before and of those after the current one: [T, B, ...] each, or None.

        All images go through the backbone in one pass. Frames after are for the teacher; without one there are none.
        """
        last = batch.frame_mask.shape[1] if hasattr(self, "teacher") else history + 1
        if last == 1:
            return None, None

        def others(x):
            return jnp.concatenate([x[:, :history], x[:, history + 1 : last]], axis=1)

        images, lidar2img, can_bus = map(others, (batch.images, batch.lidar2img, batch.can_bus))
        features = self.student.image_features(images.reshape(len(images), -1, *images.shape[3:]))
        features = [x.reshape(*images.shape[:3], *x.shape[2:]) for x in features]
        steps = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (features, lidar2img, can_bus))
        before, after = (jax.tree.map(lambda x, part=part: x[part], steps) for part in np.s_[:history, history:])
        return before if history else None, after if last > history + 1 else None

    def _scan_bev(self, steps, start: tuple[jax.Array, jax.Array]):
        """Frames one after the other, as at inference and without gradient: ((last BEV, has one), all BEVs [T, B, ...]).

        start: (BEV before the first frame, whether there is one).
        """
        if steps is None:
            return start, None

        def encode(state, step):
            bev = self.student.encode_features(*step, *state)
            return (bev, jnp.ones_like(state[1])), bev

        steps, start = lax.stop_gradient((steps, start))
        return lax.stop_gradient(lax.scan(encode, start, steps))


def build(config: ConfigDict, seed: int, *, init_llm: bool = True) -> DiMA:
    """The whole model of a config with fresh weights (call under `nnx.eval_shape` or `jax.jit` for large ones).

    init_llm: False leaves the LLM's base as shapes, for a caller who loads it.
    """
    rngs = nnx.Rngs(jax.random.key(seed, impl="rbg"))  # compiles several times faster than threefry
    student = student_lib.build(config, rngs)
    if not config.teacher.enabled:
        return DiMA(student, None)
    return DiMA(student, teacher_lib.build(config, config.student.width, rngs, init_llm=init_llm))
