"""A study: arms, each of them trained with the same seeds, steps and data, and compared with one of them.

A plan file is Python with a function `get_plan()` that returns a `Plan`; `studies/forms.py` is one. Everything here is
checked before JAX is imported.
"""

import math
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dima_jax import config_check
from dima_jax.config_kinds import KINDS
from dima_jax.configs import vector
from dima_jax.errors import UserError
from dima_jax.study.power import Components

ASSUMED = Components(0.03, 0.06, 0.05)  # of other studies in vector mode, meters
# Config keys that a study sets itself: by the plan's own fields, by seed, or because one device trains a seed.
OWN = ("seed", "data.path", "data.batch_size", "train", "distill.cache", "mesh")
# Keys of what is read, once for all arms.
READ = ("data", "student.pc_range", "student.num_points", "student.num_future", "teacher.tokenizer")


@dataclass(frozen=True)
class Arm:
    """What is trained once with every seed.

    tests: a sentence that says what the arm is for. lines: {config key: value}, beside those of the plan. teacher: the name
    of another arm, which is trained first; what it says of the training frames, seed by seed, is what this arm's
    distillation is given, as from files of `dima_jax.cache_teacher`. "" for none. cache: in place of an arm, the folder of a
    teacher's cache (`teacher_cache.py`) of the training split, which teaches every seed the same; "" for none. times: how many
    times the plan's steps it learns; more than 1 for a teacher that is to be better than those it teaches.
    """

    name: str
    tests: str
    lines: Mapping[str, Any] = field(default_factory=dict)
    teacher: str = ""
    cache: str = ""
    times: int = 1


@dataclass(frozen=True)
class Plan:
    """A whole study over `configs/vector.py`.

    data: folder of the records. lines: {config key: value} of every arm. seeds: 0 to seeds - 1. batch: windows of a step.
    questions: how many of a frame are drawn before training, for arms with an LLM. reference: the arm that all others are
    compared with. blind: an arm that is told nothing of the scene; the frames in which it is worst are scored apart, too;
    "" for none. llm_drives: whether the plans of the arms' own LLMs are scored, too, which takes a large LLM longer than to
    train. situations: {name: val frames that are scored apart, as `data.hold_out_paths` names frames}. assumed: standard
    deviations of paired differences of L2 in meters, for the forecast before any are known.
    """

    title: str
    data: str
    seeds: int
    steps: int
    batch: int
    reference: str
    arms: Sequence[Arm]
    lines: Mapping[str, Any] = field(default_factory=dict)
    questions: int = 8
    blind: str = ""
    llm_drives: bool = True
    situations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    assumed: Components = ASSUMED
    also_teach: frozenset[str] = frozenset()  # arms whose pupils were left out by `load`

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)

    def teachers(self) -> set[str]:
        """Names of the arms that teach others."""
        return {arm.teacher for arm in self.arms} - {""} | (self.also_teach & {arm.name for arm in self.arms})

    def ordered(self) -> list[Arm]:
        """The reference and what it needs first, then the others as they stand; a teacher before those it teaches."""
        found: dict[str, Arm] = {}
        for name in (self.reference, *(arm.name for arm in self.arms)):
            chain = [self.arm(name)]
            while chain[-1].teacher:
                chain.append(self.arm(chain[-1].teacher))
            found |= {arm.name: arm for arm in reversed(chain) if arm.name not in found}
        return list(found.values())


def load(file: str, **changes: Any) -> Plan:
    """The checked plan of a file. changes: fields to replace, None for those that stay; `arms`: the names of those to keep,
    beside the reference and their teachers.

    UserError, with the file and the place in it, for whatever is wrong.
    """
    if not Path(file).is_file():
        raise UserError(f"--plan={file}: no such file; give a plan, e.g. studies/forms.py")
    try:
        get_plan = runpy.run_path(file).get("get_plan")
        plan = get_plan() if callable(get_plan) else None
    except Exception as error:  # whatever the file's own code raises
        raise UserError(f"{file}: {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(plan, Plan):
        raise UserError(f"{file}: get_plan() is missing or returns no dima_jax.study.plan.Plan; see studies/forms.py")
    try:
        check(plan)
        kept = changes.pop("arms", None)
        plan = replace(plan, **{key: value for key, value in changes.items() if value is not None})
        plan = plan if kept is None else _only(plan, kept)
        check(plan)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return plan


def _only(plan: Plan, names: Sequence[str]) -> Plan:
    known = [arm.name for arm in plan.arms]
    for name in names:
        if name not in known:
            raise UserError(f"--arms: there is no arm {name!r}; there are {', '.join(known)}")
    kept = {*names, plan.reference}
    for arm in reversed(plan.ordered()):
        kept |= {arm.teacher} if arm.name in kept and arm.teacher else set()
    arms = tuple(arm for arm in plan.arms if arm.name in kept)
    blind = plan.blind if plan.blind in kept else ""
    return replace(plan, arms=arms, blind=blind, also_teach=frozenset(plan.teachers()))


def check(plan: Plan) -> None:
    """UserError for the first thing in a plan that is wrong, with its place."""
    for name in ("title", "data", "reference"):
        _check(isinstance(value := getattr(plan, name), str) and bool(value), name, value, "a text")
    for name in ("seeds", "steps", "batch", "questions"):
        value = getattr(plan, name)
        _check(type(value) is int and value >= 1, name, value, "an integer, 1 or more")
    _check(type(plan.llm_drives) is bool, "llm_drives", plan.llm_drives, "True or False")
    _check(_are_components(plan.assumed), "assumed", plan.assumed, "power.Components of numbers, 0 or more")
    _check(_are_lines(plan.lines), "lines", plan.lines, "{config key: value}")
    _check(_are_situations(plan.situations), "situations", plan.situations, "{name: (scene tag or FILE.json:TAG, ...)}")
    is_arms = isinstance(plan.arms, Sequence) and all(isinstance(arm, Arm) for arm in plan.arms)
    _check(is_arms and len(plan.arms) >= 2, "arms", plan.arms, "two Arms or more")
    names = [arm.name for arm in plan.arms]
    for number, arm in enumerate(plan.arms):
        place = f"arms[{number}]"
        for key in ("name", "tests"):
            _check(
                isinstance(value := getattr(arm, key), str) and bool(value.strip()), f"{place}.{key}", value, "a text"
            )
        _check("," not in arm.name, f"{place}.name", arm.name, "without a comma, as --arms lists names")
        _check(names.index(arm.name) == number, f"{place}.name", arm.name, "the name of one arm alone")
        _check(_are_lines(arm.lines), f"{place}.lines", arm.lines, "{config key: value}")
        _check(type(arm.times) is int and arm.times >= 1, f"{place}.times", arm.times, "an integer, 1 or more")
        _check(isinstance(arm.cache, str), f"{place}.cache", arm.cache, 'the folder of a teacher\'s cache, or ""')
        _check(not (arm.cache and arm.teacher), f"{place}.cache", arm.cache, f'"" beside the teacher {arm.teacher!r}')
        if arm.teacher:
            _check(arm.teacher in names, f"{place}.teacher", arm.teacher, f"one of {', '.join(names)}")
    _check(plan.reference in names, "reference", plan.reference, f"one of {', '.join(names)}")
    _check(plan.blind in ("", *names), "blind", plan.blind, f'"" or one of {", ".join(names)}')
    for number, arm in enumerate(plan.arms):
        _check(not _is_own_teacher(plan, arm), f"arms[{number}].teacher", arm.teacher, "an arm that it does not teach")
    for number, arm in enumerate(plan.arms):
        try:
            config_of(plan, arm)
        except UserError as error:
            raise UserError(f"arms[{number}] {arm.name!r}: {error}") from None


def _are_components(assumed: Any) -> bool:
    return isinstance(assumed, Components) and all(
        isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in assumed
    )


def _are_lines(lines: Any) -> bool:
    return isinstance(lines, Mapping) and all(isinstance(key, str) for key in lines)


def _are_situations(situations: Any) -> bool:
    return isinstance(situations, Mapping) and all(
        isinstance(name, str)
        and name.strip()
        and isinstance(names, tuple)
        and all(isinstance(one, str) for one in names)
        for name, names in situations.items()
    )


def _is_own_teacher(plan: Plan, arm: Arm) -> bool:
    seen, name = {arm.name}, arm.teacher
    while name and name not in seen:
        seen.add(name)
        name = plan.arm(name).teacher
    return bool(name)


def _check(holds: bool, place: str, value: Any, allowed: str) -> None:
    if not holds:
        raise UserError(f"{place} is {value!r:.100}: must be {allowed}")


def config_of(plan: Plan, arm: Arm) -> ConfigDict:
    """The config of an arm; its seed is set by whoever trains it. UserError for a line that cannot be."""
    config = vector.get_config()
    for key, value in arm.lines.items():
        if _is_below(key, READ):
            raise UserError(f"config.{key}={value!r}: must stand in the plan's lines, as all arms read the same frames")
    for key, value in {**plan.lines, **arm.lines}.items():
        _set(config, key, value)
    config.data.update(path=plan.data, batch_size=plan.batch)
    config.mesh.update(data=1, fsdp=1, model=1)
    steps = arm.times * plan.steps
    config.train.update(epochs=steps, max_steps=steps)  # an epoch has a step or more
    config.distill.cache = f"arm {arm.teacher}" if arm.teacher else arm.cache
    config_check.check(config)
    if not config.vector.enabled:
        raise UserError("config.vector.enabled=False: must be True, as studies are of vector mode")
    for key, why in (
        ("history", "reads the current frame alone"),
        ("flip", "mirrors no frame"),
        ("shuffle_scenes", "mixes the windows of all scenes"),
    ):
        if config.data[key]:
            raise UserError(f"config.data.{key}={config.data[key]}: must be 0, as a study {why}")
    teaches = config.loss.distill > 0 and (config.teacher.enabled or config.distill.cache)
    if teaches and config.distill.start_step >= steps:
        raise UserError(f"config.distill.start_step={config.distill.start_step}: must be below the {steps} steps")
    if arm.teacher:
        width = config_of(plan, plan.arm(arm.teacher)).student.width
        if width != config.student.width:
            raise UserError(f"config.student.width={config.student.width}: must be its teacher's, {width}")
    return config


def _set(config: ConfigDict, key: str, value: Any) -> None:
    if _is_below(key, OWN):
        raise UserError(f"config.{key}={value!r}: is set by the study; leave the line out")
    if key not in KINDS:
        raise config_check.unknown(key, value)
    config_check.check_value(key, value)
    *groups, name = key.split(".")
    group = config
    for part in groups:
        group = group[part]
    with group.unlocked():
        group[name] = value


def _is_below(key: str, groups: Sequence[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)
