"""DiMA on one page: a student that plans from cameras, and a multi-modal LLM that teaches it.

    images -> student.scene encoder -> SceneTokens -> student.planner -> StudentOutput --+
                                            |                                            +-> dima_loss
                                            +--(gradient flows, D11)--> teacher ---------+

At inference only the student is left. The teacher is None in stages 1 and 2 (D13).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from ml_collections import ConfigDict

from dima_jax.student import student as student_room
from dima_jax.student.student import Student
from dima_jax.teacher import teacher as teacher_room
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
        frames = batch.images.shape[1]
        others = [t for t in range(frames) if t != history and (t < history or hasattr(self, "teacher"))]
        features = self._features_without_gradient(batch, others)

        bev, has_bev = self._empty_bev(batch)
        for t in range(history):
            bev = self._encode(batch, t, features[t], bev, has_bev)
            has_bev = jnp.ones_like(has_bev)

        output = self.student(_frame(batch, history), bev, has_bev, is_training=is_training, key=student_key)
        if not hasattr(self, "teacher"):
            return DiMAOutput(output, None, None)

        bev, future_bevs = lax.stop_gradient(output.tokens.bev), []
        for t in range(history + 1, frames):
            bev = self._encode(batch, t, features[t], bev, batch.frame_mask[:, t])
            future_bevs.append(bev)
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
        return DiMAOutput(output, taught, jnp.stack(future_bevs, axis=1))

    def _encode(self, batch: Batch, t: int, features, prev_bev, has_prev_bev):
        """BEV of frame t without gradient, as at inference."""
        bev = self.student.encode_bev_of(features, batch.lidar2img[:, t], batch.can_bus[:, t], prev_bev, has_prev_bev)
        return lax.stop_gradient(bev)

    def _features_without_gradient(self, batch: Batch, frames: list[int]) -> dict:
        """{t: image features}, all frames through the backbone in one pass."""
        if not frames:
            return {}
        images = jnp.concatenate([batch.images[:, t] for t in frames], axis=0)
        features = jax.tree.map(lax.stop_gradient, self.student.image_features(images))
        size = batch.images.shape[0]
        return {t: jax.tree.map(lambda x, i=i: x[i * size : (i + 1) * size], features) for i, t in enumerate(frames)}

    def _empty_bev(self, batch: Batch):
        return self.student.empty_bev(batch.images.shape[0]), jnp.zeros(batch.images.shape[0], bool)


def _frame(batch: Batch, t: int) -> Frame:
    return Frame(batch.images[:, t], batch.lidar2img[:, t], batch.can_bus[:, t], batch.command)


def build(config: ConfigDict, seed: int) -> DiMA:
    """The whole model of a config with fresh weights (call under `nnx.eval_shape` or `jax.jit` for large ones)."""
    rngs = nnx.Rngs(jax.random.key(seed, impl="rbg"))  # compiles several times faster than threefry
    student = student_room.build(config, rngs)
    teacher = teacher_room.build(config, config.student.width, rngs) if config.teacher.enabled else None
    return DiMA(student, teacher)
