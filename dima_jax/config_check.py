"""What a config may hold: the kind of every key (`config_kinds`), and what keys demand of each other. Imports no JAX.

`cli` checks the config of every command before anything else is loaded. A problem is one line: the key, its value, and
what is allowed.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from dima_jax.config_kinds import FUTURE_FRAMES, KINDS
from dima_jax.errors import UserError

IMAGE_MULTIPLE = 32  # pixels: the stride of the deepest stage


def mirrored(names: Iterable[str]) -> list[str]:
    """The name of each camera or command with left for right, LEFT for RIGHT."""
    return [re.sub("left|right|LEFT|RIGHT", lambda word: OPPOSITES[word[0]], name) for name in names]


OPPOSITES = {"left": "right", "right": "left", "LEFT": "RIGHT", "RIGHT": "LEFT"}


class Relation(NamedTuple):
    """What `key` must be beside the `others`. holds: given {key: value}. with_teacher: demanded only with a teacher."""

    key: str
    others: tuple[str, ...]
    allowed: str
    holds: Callable[[dict[str, Any]], bool]
    with_teacher: bool = False


def _divides(divisor: str, key: str, *, with_teacher: bool = False) -> Relation:
    return Relation(key, (divisor,), f"a multiple of {divisor}", lambda v: v[key] % v[divisor] == 0, with_teacher)


def _at_most(key: str, other: str, *, with_teacher: bool = False) -> Relation:
    """Pairs are compared side by side."""

    def holds(v) -> bool:
        ours, theirs = (x if isinstance(x, tuple | list) else (x,) for x in (v[key], v[other]))
        return all(a <= b for a, b in zip(ours, theirs, strict=True))

    return Relation(key, (other,), f"at most {other}", holds, with_teacher)


def _needs_images(key: str, off: Any) -> Relation:
    return Relation(
        key,
        ("vector.enabled",),
        f"{off!r} in vector mode, whose student sees no images",
        lambda v: v[key] == off or not v["vector.enabled"],
    )


def _is_mirror_image(v) -> bool:
    """Whether the BEV is its own mirror image, as `data.flip` needs."""
    low, high = v["student.pc_range"][0], v["student.pc_range"][3]
    return low == -high and v["student.rotate_center"][0] == v["student.bev_shape"][1] / 2


RELATIONS = (
    _divides("student.num_heads", "student.width"),
    Relation("student.width", (), "even", lambda v: v["student.width"] % 2 == 0),
    Relation(
        "student.out_stages",
        ("student.stage_blocks",),
        "numbers of student.stage_blocks' stages, from 0 and rising",
        lambda v: (
            list(v["student.out_stages"]) == sorted({*v["student.out_stages"]})
            and v["student.out_stages"][-1] < len(v["student.stage_blocks"])
        ),
    ),
    Relation(
        "student.level_embeds",
        ("student.out_stages", "student.extra_levels"),
        "at least the number of levels: stages of student.out_stages and student.extra_levels",
        lambda v: v["student.level_embeds"] >= len(v["student.out_stages"]) + v["student.extra_levels"],
    ),
    Relation(
        "student.pc_range",
        (),
        "(x, y, z of the low corner, x, y, z of the high corner), and higher than 1 m",
        lambda v: (
            all(low < high for low, high in zip(v["student.pc_range"][:3], v["student.pc_range"][3:], strict=True))
            and v["student.pc_range"][5] - v["student.pc_range"][2] > 1
        ),
    ),
    _at_most("data.valid_shape", "data.image_shape"),
    Relation(
        "data.image_shape",
        (),
        f"multiples of {IMAGE_MULTIPLE}",
        lambda v: all(side % IMAGE_MULTIPLE == 0 for side in v["data.image_shape"]),
    ),
    _at_most("data.max_agents", "student.num_agents"),
    _at_most("data.max_map", "student.num_map"),
    Relation(
        "data.batch_size",
        ("mesh.data", "mesh.fsdp"),
        "a multiple of mesh.data * mesh.fsdp",
        lambda v: v["data.batch_size"] % (v["mesh.data"] * v["mesh.fsdp"]) == 0,
    ),
    Relation(
        "data.flip",
        (),
        "0 with a teacher, as questions say left and right; or set teacher.enabled=False",
        lambda v: v["data.flip"] == 0,
        with_teacher=True,
    ),
    Relation(
        "data.flip",
        ("student.pc_range", "student.rotate_center", "student.bev_shape"),
        "0 unless the BEV is its own mirror image: student.pc_range the same left and right, student.rotate_center[0] half "
        "of student.bev_shape[1]",
        lambda v: v["data.flip"] == 0 or _is_mirror_image(v),
    ),
    Relation(
        "data.cameras",
        ("vector.enabled",),
        "one or more names, but in vector mode, which reads no images",
        lambda v: len(v["data.cameras"]) > 0 or v["vector.enabled"],
    ),
    Relation(
        "data.flip",
        ("data.cameras",),
        "0 unless data.cameras has both of every left and right",
        lambda v: v["data.flip"] == 0 or set(mirrored(v["data.cameras"])) <= set(v["data.cameras"]),
    ),
    Relation(
        "distill.cache",
        ("teacher.enabled",),
        "empty beside a teacher; set teacher.enabled=False",
        lambda v: not (v["distill.cache"] and v["teacher.enabled"]),
    ),
    Relation(
        "distill.cache",
        ("loss.distill",),
        "empty with loss.distill=0, which compares with nobody",
        lambda v: not v["distill.cache"] or v["loss.distill"] > 0,
    ),
    Relation(
        "distill.form",
        ("distill.cache",),
        "another than shared_head with distill.cache, which holds no weights",
        lambda v: not (v["distill.cache"] and v["distill.form"] == "shared_head"),
    ),
    Relation(
        "data.flip",
        ("distill.cache",),
        "0 with distill.cache, whose teacher saw no mirrored frames",
        lambda v: not (v["distill.cache"] and v["data.flip"]),
    ),
    Relation(
        "data.flip",
        ("auxiliary.facts",),
        "0 with auxiliary.facts, which say left and right",
        lambda v: not (v["auxiliary.facts"] and v["data.flip"]),
    ),
    Relation(
        "train.init_teacher",
        ("train.init_from", "teacher.enabled"),
        "False without a run in train.init_from and a teacher",
        lambda v: not v["train.init_teacher"] or (bool(v["train.init_from"]) and v["teacher.enabled"]),
    ),
    Relation(
        "data.future",
        ("vector.enabled",),
        f"{FUTURE_FRAMES} with a teacher, unless in vector mode",
        lambda v: v["data.future"] == FUTURE_FRAMES or v["vector.enabled"],
        with_teacher=True,
    ),
    Relation(
        "loss.future",
        ("vector.enabled",),
        "0 in vector mode, as other frames are not read",
        lambda v: v["loss.future"] == 0 or not v["vector.enabled"],
        with_teacher=True,
    ),
    _needs_images("auxiliary.image", False),
    _needs_images("auxiliary.bev", False),
    _needs_images("auxiliary.agent_groups", 0),
    _needs_images("auxiliary.map_groups", 0),
    _needs_images("init.norm_frames", 0),
    _needs_images("init.can_bus_frames", 0),
    _needs_images("init.embed_scale", 1.0),
    _needs_images("train.backbone", ""),
    _divides("teacher.llm.heads", "teacher.llm.width", with_teacher=True),
    _divides("teacher.llm.kv_heads", "teacher.llm.heads", with_teacher=True),
    Relation(
        "teacher.llm.width",
        ("teacher.llm.heads",),
        "an even multiple of teacher.llm.heads",
        lambda v: v["teacher.llm.width"] // v["teacher.llm.heads"] % 2 == 0,
        with_teacher=True,
    ),
    _divides("teacher.adapter.heads", "student.width", with_teacher=True),
    _at_most("teacher.adapter.bev_grid", "student.bev_shape", with_teacher=True),
)

FOLDERS = {  # key: what to do where its folder is absent
    "data.path": "make the records with `python -m data_prep.build --dataroot=... --out={0}` (`make demo` needs no data: it "
    "makes its own)",
    "train.init_from": "train that stage first, or set --config.train.init_from= to start without",
    "train.backbone": "`python -m dima_jax.convert resnet` makes it from torchvision's resnet50 .pth, or set "
    "--config.train.backbone= to start from random weights",
    "distill.cache": "`python -m dima_jax.cache_teacher` writes it; of what an LLM reads in texts, `python -m dima_jax.cache_text`",
    "teacher.weights": "`python -m dima_jax.convert llama` makes it",
    "teacher.tokenizer": "`python -m dima_jax.convert llama` writes it beside its weights",
}


def check(config: ConfigDict, parts: Iterable[str] = (), without: Iterable[str] = ()) -> None:
    """UserError for the first key that is unknown, missing, of a wrong kind, or does not go with the others.

    parts: groups or keys that are checked, () for all; without: keys that are not.
    """
    parts, values = tuple(parts), flat(config)

    def is_checked(key: str) -> bool:
        is_part = not parts or any(key == part or key.startswith(f"{part}.") for part in parts)
        return is_part and key not in without

    for key, value in values.items():
        if is_checked(key) and key not in KINDS:
            raise unknown(key, value)
    checked = [key for key in KINDS if is_checked(key)]
    for key in checked:
        if key not in values:
            raise UserError(
                f"config.{key}: missing; it must be {KINDS[key].allowed} (configs/base.py explains every key)"
            )
        check_value(key, values[key])
    for relation in RELATIONS:
        needed = {relation.key, *relation.others, *(("teacher.enabled",) if relation.with_teacher else ())}
        is_demanded = needed <= {*checked} and (values["teacher.enabled"] if relation.with_teacher else True)
        if is_demanded and not relation.holds(values):
            beside = ", ".join(f"{key}={values[key]!r}" for key in relation.others)
            raise _wrong(relation.key, values[relation.key], relation.allowed + (f" ({beside})" if beside else ""))


def unknown(key: str, value) -> UserError:
    """What is said of a key that there is not."""
    nearest = difflib.get_close_matches(key, KINDS, n=1)
    return UserError(
        f"config.{key}={value!r}: unknown key" + (f"; did you mean config.{nearest[0]}?" if nearest else "")
    )


def check_value(key: str, value) -> None:
    """UserError unless a value is of the key's kind."""
    if not KINDS[key].holds(value):
        raise _wrong(key, value, KINDS[key].allowed)


def _wrong(key: str, value, allowed: str) -> UserError:
    return UserError(f"config.{key}={value!r}: must be {allowed}")


def check_folders(config: ConfigDict, *keys: str) -> None:
    """UserError for the first key of FOLDERS whose folder is absent; "" names none."""
    values = flat(config)
    for key in keys:
        if values[key] and not Path(values[key]).is_dir():
            raise UserError(f"config.{key}={values[key]}: no such folder; {FOLDERS[key].format(values[key])}")


def training_folders(config: ConfigDict, is_fresh: bool) -> tuple[str, ...]:
    """The keys of FOLDERS that training reads. is_fresh: the run has no checkpoint to go on from."""
    start = ("train.init_from" if config.train.init_from else "train.backbone",) if is_fresh else ()
    return (
        "data.path",
        "distill.cache",
        "teacher.tokenizer",
        *(("teacher.weights",) if config.teacher.enabled else ()),
        *start,
    )


def flat(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """{"group.key": value} of every key; a group without keys is a key itself."""
    values: dict[str, Any] = {}
    for key in config:
        value = config[key]
        values |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, ConfigDict) and len(value) else {prefix + key: value}
        )
    return values
