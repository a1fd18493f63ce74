"""The teacher of a run: where it starts, when it teaches, and whether it still learns then (docs/decisions.md#d13)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from dima_jax import checkpoints, optimizer, weights
from dima_jax.dima import SHARED_HEAD
from dima_jax.errors import UserError

HEAD = "teacher/ego_head/out/"  # of the weights of the teacher's last Linear, unless both planners share one
SAME = tuple(f"teacher.{key}" for key in ("enabled", "llm", "weights", "tokenizer", "lora", "adapter"))


def weight(config: ConfigDict, step: Int[Array, ""]) -> float | Float[Array, ""]:
    """The weight of distillation at a step, counted from 0: `loss.distill`, after `start_step` and a linear ramp."""
    options, whole = config.distill, config.loss.distill
    if options.start_step == 0 and options.ramp_steps <= 1:
        return whole
    return whole * jnp.clip((step + 1 - options.start_step) / max(options.ramp_steps, 1), 0.0, 1.0)


def hold(changes: weights.Params, config: ConfigDict, step: Int[Array, ""]) -> weights.Params:
    """Gradients or updates by path, those of the teacher 0 from `start_step` on where `freeze_teacher` asks for it.

    A last Linear that both planners share is the teacher's.
    """
    if not config.distill.freeze_teacher:
        return changes
    held = ("teacher/", SHARED_HEAD) if config.distill.form == "shared_head" else ("teacher/",)
    learns = step < config.distill.start_step
    return {
        path: jnp.where(learns, value, jnp.zeros_like(value)) if path.startswith(held) else value
        for path, value in changes.items()
    }


def earlier_teacher(config: ConfigDict, params: weights.Params) -> weights.Params:
    """The teacher of the run in `train.init_from`, if `train.init_teacher` asks for it. An LLM base that was not trained
    there is the one of this config.

    params: of this run, with the student of the earlier one. The last Linear of a teacher that had its own becomes that
    of both planners where they share one now, and the other way round. UserError if the earlier teacher is another than
    this config's, or if `optim.groups` freezes some of it: no checkpoint would keep that.
    """
    if not config.train.init_teacher:
        return {}
    run, where = config.train.init_from, f"train.init_teacher=True: {config.train.init_from}"
    if not checkpoints.is_whole_run(run):
        raise UserError(f"{where} holds a student alone; name a whole run in train.init_from")
    saved = checkpoints.load_trainable(run)
    is_base_drawn = not config.teacher.weights and not weights.with_prefix(saved, "teacher/llm/")
    meta = checkpoints.read_meta(checkpoints.step_folder(run))
    checkpoints.check_model(meta["config"], config, where, (*SAME, *(("seed",) if is_base_drawn else ())))
    found = {}
    for leaf in ("kernel", "bias"):
        place = SHARED_HEAD if config.distill.form == "shared_head" else HEAD
        found[place + leaf] = saved.pop(HEAD + leaf, params[SHARED_HEAD + leaf])
    found |= weights.with_prefix(saved, "teacher/")
    teacher = weights.with_prefix(params, "teacher/")
    frozen = optimizer.split_frozen(teacher, config.optim.groups)[1]
    if lost := sorted(frozen.keys() & found.keys()):
        raise UserError(
            f"{where}: config.optim.groups freezes {lost[0]}, which no checkpoint would keep; freeze the teacher with "
            "--config.distill.freeze_teacher=True instead"
        )
    needed = {path for path in teacher if not path.startswith("teacher/llm/")}
    if missing := sorted(needed - found.keys()):
        raise UserError(f"{where} has no weight {missing[0]}: it was frozen there; train it there, or start without")
    return found
