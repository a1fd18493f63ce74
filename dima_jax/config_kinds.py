"""The kind of every key of `configs/base.py`: what a single value may be. `config_check` uses it; imports no JAX."""

import math
import numbers
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from dima_jax.configs import base
from dima_jax.constants import COMMANDS

AXES = ("data", "fsdp", "model")  # of the mesh
EGO_STATUS = ("full", "speed", "none")  # what the student is told of the CAN bus
DISTILL_FORMS = ("kl", "kl_standardized", "feature_l2", "shared_head", "plan")  # D6
SCENE_PARTS = ("ego", "agents", "bev", "map")  # that the teacher reads, in this order (D3)
NUM_FUTURE = 6  # steps of a recorded path, as in `data/features.py`, which this cannot import
FUTURE_FRAMES = 2  # future BEVs of the teacher: the next two key frames (D9)


class Kind(NamedTuple):
    """allowed: completes "must be ...". holds: whether a value is of the kind."""

    allowed: str
    holds: Callable[[Any], bool]


def is_integer(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_regex(value) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def integer(least: int, most: int | None = None) -> Kind:
    if most is None:
        return Kind(f"an integer, {least} or more", lambda x: is_integer(x) and x >= least)
    allowed = f"{least}" if least == most else f"an integer from {least} to {most}"
    return Kind(allowed, lambda x: is_integer(x) and least <= x <= most)


def number(least: float, most: float = math.inf) -> Kind:
    allowed = f"a number from {least:g} to {most:g}" if math.isfinite(most) else f"a finite number, {least:g} or more"
    return Kind(allowed, lambda x: is_number(x) and least <= x <= most)


def one_of(*words: str) -> Kind:
    return Kind(" or ".join(f'"{word}"' for word in words), lambda x: isinstance(x, str) and x in words)


def several(kind: Kind, count: int | None = None) -> Kind:
    """A tuple of one or more, or of `count`."""
    allowed = f"{'one or more' if count is None else count} values in parentheses, each {kind.allowed}"

    def holds(x) -> bool:
        is_long_enough = isinstance(x, tuple | list) and (len(x) == count if count else len(x) > 0)
        return is_long_enough and all(map(kind.holds, x))

    return Kind(allowed, holds)


def optional(kind: Kind) -> Kind:
    """Also None."""
    return Kind(f"None, or {kind.allowed}", lambda x: x is None or kind.holds(x))


def span(least: float, most: float = math.inf, *, is_open: bool = False) -> Kind:
    """(low, high) with low <= high, both between `least` (itself excluded if is_open) and `most`."""
    bounds = f"{least:g} {'<' if is_open else '<='} low <= high" + (f" <= {most:g}" if math.isfinite(most) else "")

    def holds(x) -> bool:
        is_pair = isinstance(x, tuple | list) and len(x) == 2 and all(map(is_number, x))
        return is_pair and least <= x[0] <= x[1] <= most and not (is_open and x[0] == least)

    return Kind(f"two numbers (low, high) with {bounds}", holds)


def _is_rules(value, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple | list) and all(
        isinstance(rule, tuple | list) and len(rule) == 2 and is_regex(rule[0]) and holds(rule[1]) for rule in value
    )


def _is_partition(value) -> bool:
    used = [axis for axis in value if axis is not None] if isinstance(value, tuple | list) else [None]
    return all(axis in AXES for axis in used) and len(set(used)) == len(used)


def _is_names(value) -> bool:
    return (
        isinstance(value, tuple | list)
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )


def _is_parts(value) -> bool:
    return (
        isinstance(value, tuple | list) and all(part in SCENE_PARTS for part in value) and len(set(value)) == len(value)
    )


COUNT, INDEX, SHARE, WEIGHT = integer(1), integer(0), number(0, 1), number(0)
POSITIVE = Kind("a finite number above 0", lambda x: is_number(x) and x > 0)
FLAG = Kind("True or False", lambda x: isinstance(x, bool))
TEXT = Kind('text ("" for none)', lambda x: isinstance(x, str))
NAME = Kind("text", lambda x: isinstance(x, str) and bool(x.strip()))
SHAPE = several(COUNT, 2)

KINDS: dict[str, Kind] = {
    "seed": integer(0, 2**32 - 1),
    "student.stage_blocks": several(COUNT),
    "student.stage_width": COUNT,
    "student.out_stages": several(INDEX),
    "student.extra_levels": INDEX,
    "student.level_embeds": COUNT,
    "student.width": COUNT,
    "student.ffn_width": COUNT,
    "student.num_heads": COUNT,
    "student.dropout": Kind("a number from 0 to below 1", lambda x: is_number(x) and 0 <= x < 1),
    "student.bev_shape": SHAPE,
    "student.pc_range": several(Kind("a finite number", is_number), 6),
    "student.pillar_points": COUNT,
    "student.rotate_center": several(Kind("a finite number", is_number), 2),
    "student.encoder_layers": COUNT,
    "student.decoder_layers": COUNT,
    "student.map_decoder_layers": COUNT,
    "student.num_agents": COUNT,
    "student.num_map": COUNT,
    "student.num_points": integer(2),
    "student.num_modes": COUNT,
    "student.num_future": integer(NUM_FUTURE, NUM_FUTURE),
    "student.num_commands": integer(len(COMMANDS), len(COMMANDS)),
    "student.map_score_threshold": SHARE,
    "student.map_distance_threshold": WEIGHT,
    "student.dtype": one_of("float32", "bfloat16"),
    "student.encoder_remat": one_of("accelerators", "always", "never"),
    "vector.enabled": FLAG,
    "vector.agent_dropout": SHARE,
    "vector.line_dropout": SHARE,
    "vector.jitter": WEIGHT,
    "vector.range_noise": WEIGHT,
    "vector.velocity": FLAG,
    "vector.future": FLAG,
    "teacher.enabled": FLAG,
    **{f"teacher.llm.{key}": COUNT for key in ("layers", "width", "heads", "kv_heads", "ffn_width", "vocab")},
    "teacher.llm.rope_theta": POSITIVE,
    "teacher.llm.rms_eps": POSITIVE,
    "teacher.llm.rope_scaling": optional(several(POSITIVE, 4)),
    "teacher.llm.tied": FLAG,
    "teacher.llm.dtype": one_of("bfloat16", "float32"),
    "teacher.llm.remat": FLAG,
    "teacher.weights": TEXT,
    "teacher.tokenizer": TEXT,
    "teacher.lora.rank": COUNT,
    "teacher.lora.alpha": POSITIVE,
    "teacher.adapter.bev_grid": SHAPE,
    **{f"teacher.adapter.{key}": COUNT for key in ("layers", "heads", "agent_queries", "map_queries", "ego_queries")},
    "teacher.adapter.ego_status": FLAG,
    "teacher.tokens": Kind(f"some of {SCENE_PARTS}, each once", _is_parts),
    "teacher.shapes_student": FLAG,
    "teacher.mask_ratio": span(0, 1),
    "teacher.separate_mask_pass": FLAG,
    "teacher.edit_share": SHARE,
    "teacher.edit_threshold": SHARE,
    "auxiliary.image": FLAG,
    "auxiliary.bev": FLAG,
    "auxiliary.agent_groups": INDEX,
    "auxiliary.map_groups": INDEX,
    "auxiliary.facts": FLAG,
    **{f"loss.{key}": WEIGHT for key in base.loss()},
    "loss.distill_temperature": POSITIVE,
    "distill.form": one_of(*DISTILL_FORMS),
    "distill.gate": FLAG,
    "distill.start_step": INDEX,
    "distill.ramp_steps": INDEX,
    "distill.freeze_teacher": FLAG,
    "distill.cache": TEXT,
    "data.path": NAME,
    "data.train_split": NAME,
    "data.val_split": NAME,
    "data.history": INDEX,
    "data.random_start": FLAG,
    "data.future": INDEX,
    "data.cameras": Kind("names in parentheses, each once", _is_names),
    "data.image_scale": POSITIVE,
    "data.image_shape": SHAPE,
    "data.valid_shape": SHAPE,
    "data.color_order": one_of("rgb", "bgr"),
    "data.mean": several(Kind("a finite number", is_number), 3),
    "data.std": several(POSITIVE, 3),
    "data.photometric": FLAG,
    "data.grid_mask": SHARE,
    "data.hold_out_paths": Kind("names in parentheses, each once", _is_names),
    "data.flip": SHARE,
    "data.zoom": span(0, is_open=True),
    "data.color": SHARE,
    "data.max_agents": COUNT,
    "data.max_map": COUNT,
    "data.max_text": COUNT,
    "data.ego_status": one_of(*EGO_STATUS),
    "data.command": FLAG,
    "data.batch_size": COUNT,
    "data.workers": COUNT,
    "data.cache_gib": WEIGHT,
    "data.prefetch_gib": WEIGHT,
    "data.shuffle_scenes": INDEX,
    "optim.learning_rate": POSITIVE,
    "optim.weight_decay": WEIGHT,
    "optim.clip_norm": POSITIVE,
    "optim.accumulate": COUNT,
    "optim.warmup_steps": INDEX,
    "optim.warmup_from": SHARE,
    "optim.final_scale": SHARE,
    "optim.cosine_per": one_of("epoch", "step"),
    "optim.groups": Kind(
        'pairs ("path regex", factor of 0 or more)', lambda x: _is_rules(x, lambda y: is_number(y) and y >= 0)
    ),
    "mesh.data": COUNT,
    "mesh.fsdp": COUNT,
    "mesh.model": COUNT,
    "mesh.rules": Kind(
        f'pairs ("path regex", (axis, ...)) with axes of {AXES}, each once, or None',
        lambda x: _is_rules(x, _is_partition),
    ),
    "init.norm_frames": INDEX,
    "init.can_bus_frames": INDEX,
    "init.embed_scale": WEIGHT,
    "train.epochs": COUNT,
    "train.max_steps": INDEX,
    "train.init_from": TEXT,
    "train.init_teacher": FLAG,
    "train.backbone": TEXT,
    "train.log_every": COUNT,
    "train.save_every": COUNT,
    "train.keep": COUNT,
}
