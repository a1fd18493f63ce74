"""DiMA on one page: a student that plans from cameras, and a multi-modal LLM that teaches it.

    images -> student's scene encoder -> SceneTokens -> student's heads and planner -> StudentOutput --+
                                              |                                                        +-> dima_loss
                                              +-- (gradients flow back, D11) --> teacher --------------+

At inference only the student is used. Stages 1 and 2 of training have no teacher (D13).
Decisions D1 to D14: docs/decisions.md. Paper: Hegde et al., CVPR 2025 (arXiv 2501.09757).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from dima_jax import students
from dima_jax.auxiliary import AuxiliaryHeads, build_auxiliary
from dima_jax.student.student import Student, training_keys
from dima_jax.teacher.build import build_teacher
from dima_jax.teacher.teacher import Teacher
from dima_jax.types import AuxiliaryOutput, Batch, Distortion, Frame, StudentOutput, TeacherOutput
from dima_jax.vector.vector_student import VectorStudent

SHARED_HEAD = "student/planner/waypoints/last/"  # of the weights of the Linear that makes both plans, if one does (D6)


class DiMAOutput(NamedTuple):
    """Predictions for the current frame. Without a teacher, `teacher` and `future_bevs` are None; without auxiliary
    heads, so is `auxiliary`. In vector mode, `future_bevs` is None.

    future_bevs: BEVs of the next two key frames, each in the LiDAR frame of its own time (targets of D9).
    """

    student: StudentOutput
    teacher: TeacherOutput | None
    future_bevs: Float[Array, "B 2 YX D"] | None
    auxiliary: AuxiliaryOutput | None


class DiMA(nnx.Module):
    """Student, teacher and auxiliary heads in training. teacher: None trains the student alone."""

    def __init__(
        self, student: Student | VectorStudent, teacher: Teacher | None, auxiliary: AuxiliaryHeads | None = None
    ):
        self.student = student
        self.teacher = teacher
        self.auxiliary = auxiliary

    def __call__(self, batch: Batch, *, history: int, key: jax.Array, is_training: bool) -> DiMAOutput:
        """Predicts the current frame of each window, frame `history` of its T frames.

        key: for dropout, GridMask and, in vector mode, noise of the student, mask and edits of the teacher.
        """
        student_key, teacher_key = jax.random.split(key)
        if isinstance(self.student, VectorStudent):  # docs/evidence.md#vector-mode
            student = self.student(batch, history=history, key=student_key, is_training=is_training)
            future_bevs, auxiliary = None, None if self.auxiliary is None else self.auxiliary([], student.tokens)
        else:
            student, future_bevs, auxiliary = self._see(batch, history, student_key, is_training)
        if self.teacher is None:
            return DiMAOutput(student, None, None, auxiliary)
        teacher = self.teacher(
            student.tokens,
            student,
            batch.text,
            batch.edit_text,
            batch.command,
            batch.ego,
            key=teacher_key,
            is_training=is_training,
        )
        return DiMAOutput(student, teacher, future_bevs, auxiliary)

    def _see(
        self, batch: Batch, history: int, key, is_training: bool
    ) -> tuple[StudentOutput, Float[Array, "B 2 YX D"] | None, AuxiliaryOutput | None]:
        """The student's output, future BEVs (without a teacher None) and auxiliary output of a window's images.

        The frames before the current one give the previous BEV; the frames after it give targets for the teacher. Both
        are encoded as at inference and without gradient, as VAD does for the former (`obtain_history_bev`) and D9 for the
        latter.
        """
        size = len(batch.frame_mask)
        before, after = self._encode_other_frames(batch, history)
        no_bev = (self.student.empty_bev(size), jnp.zeros(size, bool))
        (prev_bev, has_prev_bev), _ = self._scan_bev(before, no_bev, batch.frame_mask[:, :history])
        current = Frame(batch.images[:, history], batch.lidar2img[:, history], batch.can_bus[:, history], batch.command)
        distortion = jax.tree.map(lambda x: x[:, history], batch.distortion)
        student, auxiliary = self._predict(current, distortion, prev_bev, has_prev_bev, is_training, key)
        if self.teacher is None:
            return student, None, auxiliary
        now = (student.tokens.bev, jnp.ones(size, bool))
        _, future_bevs = self._scan_bev(after, now, batch.frame_mask[:, history + 1 :])
        return student, jnp.moveaxis(future_bevs, 0, 1), auxiliary

    def _predict(
        self,
        frame: Frame,
        distortion: Distortion | None,
        prev_bev: Float[Array, "B YX D"],
        has_prev_bev: Bool[Array, " B"],
        is_training: bool,
        key,
    ) -> tuple[StudentOutput, AuxiliaryOutput | None]:
        """The student's output for the current frame, and what the auxiliary heads read off on the way to it."""
        student, options = self.student, dict(is_training=is_training)
        if self.auxiliary is None:
            return student(frame, prev_bev, has_prev_bev, **options, key=key, distortion=distortion), None
        key_images, key_encoder, key_rest = training_keys(is_training, key, 3)
        features = student.image_features(frame.images, key=key_images, distortion=distortion)
        bev = student.encode_features(
            features, frame.lidar2img, frame.can_bus, prev_bev, has_prev_bev, **options, key=key_encoder
        )
        more_queries = self.auxiliary.more_queries()
        output = student.decode(bev, **options, key=key_rest, more_queries=more_queries, frame=frame)
        return output, self.auxiliary(features, output.tokens)

    def _encode_other_frames(self, batch: Batch, history: int):
        """What the BEV encoder reads of the frames before and after the current one.

        Two tuples (image features, lidar2img, can_bus) of arrays [T, B, ...], or None where there are no such frames.
        All images pass the backbone at once. Without a teacher, no frames after the current one are encoded.
        """
        last = history + 1 if self.teacher is None else batch.frame_mask.shape[1]
        if last == 1:
            return None, None

        def others(x):
            return jnp.concatenate([x[:, :history], x[:, history + 1 : last]], axis=1)

        lidar2img, can_bus, *pixels = jax.tree.map(
            others, (batch.lidar2img, batch.can_bus, batch.images, batch.distortion)
        )
        images, distortion = jax.tree.map(lambda x: x.reshape(len(x), -1, *x.shape[3:]), pixels)
        features = self.student.image_features(images, distortion=distortion)
        features = [x.reshape(*lidar2img.shape[:3], *x.shape[2:]) for x in features]
        steps = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (features, lidar2img, can_bus))
        before, after = (jax.tree.map(lambda x, part=part: x[part], steps) for part in np.s_[:history, history:])
        return before if history else None, after if last > history + 1 else None

    def _scan_bev(self, steps, start: tuple[Float[Array, "B YX D"], Bool[Array, " B"]], mask: Bool[Array, "B t"]):
        """Encodes frames one after the other, each with the BEV of the one before, without gradient.

        steps: as `_encode_other_frames` returns them. start: (BEV before the first frame, True where there is one).
        mask: False where the window has no such frame; the one after it is encoded without a previous BEV. Returns ((last
        BEV, True where there is one), BEVs of all frames [t, B, YX, D]); (start, None) without frames.
        """
        if steps is None:
            return start, None

        def encode(state, step):
            frame, known = step
            bev = self.student.encode_features(*frame, *state)
            return (bev, known), bev

        steps, start = lax.stop_gradient((steps, start))
        return lax.stop_gradient(lax.scan(encode, start, (steps, mask.T)))


def build(config: ConfigDict, seed: int, *, init_llm: bool = True) -> DiMA:
    """The model of a whole config with newly initialized weights; call it under `nnx.eval_shape` or `jax.jit` if large.

    init_llm: False leaves the LLM's frozen base as `jax.ShapeDtypeStruct`s, for a caller that loads it from a file.
    """
    rngs = nnx.Rngs(jax.random.key(seed, impl="rbg"))  # compiles several times faster than threefry
    student = students.build(config, rngs)
    teacher = build_teacher(config, rngs, init_llm=init_llm) if config.teacher.enabled else None
    if teacher is not None and config.distill.form == "shared_head":
        teacher.ego_head.out = student.planner.waypoints.last  # its weights are at SHARED_HEAD
    return DiMA(student, teacher, build_auxiliary(config, rngs))
