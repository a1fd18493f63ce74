"""DiMA-Dual: student and teacher plan together; the LLM runs in every frame. The student alone never needs this file.

    feature = max(student's ego feature, teacher's ego feature)       element-wise
    plan    = the last Linear of an ego head, on that feature

Both heads get the maximum; whose plan counts is unknown (docs/decisions.md#paper-architecture). Both are given, and the
teacher's own plan beside them, which tells what the maximum did to it.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax import checkpoints, weights
from dima_jax.dima import DiMA
from dima_jax.errors import UserError
from dima_jax.sharded_model import ShardedModel
from dima_jax.types import StudentOutput


class Dual:
    """A run's teacher beside its student. teacher_weights: how many numbers the teacher adds to the student's.

    UserError if the run has no teacher, or another than the config's.
    """

    def __init__(self, run: Path, config: ConfigDict):
        saved, _, meta = checkpoints.load_student(run)
        if not saved.teacher.enabled or not config.teacher.enabled:
            raise UserError(
                f"{run} was trained without a teacher, which DiMA-Dual needs beside the student; leave --dual out, or "
                "give the --checkpoint of a joint run (configs/demo.py, configs/base.py)"
            )
        checkpoints.check_model(meta["config"], config, str(run), ("teacher", "distill.form"))
        model = ShardedModel.for_evaluation(config)
        self.params = model.load(run)
        self.teacher_weights = weights.count(weights.with_prefix(self.params, "teacher/"))
        self._plan = jax.jit(lambda params, output: plan(weights.bind(model.graph, params), output))
        self._teach = jax.jit(lambda params, tokens: weights.bind(model.graph, params).teacher.plan(tokens))

    def __call__(self, output: StudentOutput) -> dict[str, Float[Array, "B R F 2"]]:
        """{planner: ego offsets in meters per step} of the frame that the student saw."""
        return self._plan(self.params, output)

    def teach(self, output: StudentOutput) -> tuple[Float[Array, "B D2"], Float[Array, "B R F 2"]]:
        """(teacher ego feature, the teacher's own ego offsets in meters per step) of the frame that the student saw."""
        return self._teach(self.params, output.tokens)


def plan(model: DiMA, output: StudentOutput) -> dict[str, Float[Array, "B R F 2"]]:
    """`Dual.__call__` for a model and what its student said."""
    teacher_feature, alone = model.teacher.plan(output.tokens)
    feature = jnp.maximum(output.ego_feature, teacher_feature)
    return {
        "DiMA-Dual + LLM, student's head": model.student.planner.plan(feature),
        "DiMA-Dual + LLM, teacher's head": model.teacher.ego_head.plan(feature),
        "teacher alone (LLM)": alone,
    }
