"""The engine of weight conversion: tables of name patterns between the keys of a checkpoint and the paths of our weights.

A pattern is a name with placeholders for integers, "layers.{i}.norms.0.weight"; the same placeholders appear on both
sides, so a table reads in both directions. Our equal layers are stacked: "layers[{i}]/norm/scale" is index i of the first
axis of the weight "layers/norm/scale".

A conversion is strict: every tensor of the checkpoint is used exactly once or listed as ignored, every weight (of a
stacked one, every layer) is set exactly once, and every shape fits. `assign` checks this by names and shapes alone;
`transfer` then reads the tensors one by one, so a model need not fit into memory.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dima_jax.errors import UserError

STACKED = "[{i}]"  # in a path pattern, which then has no other placeholder
SAME = ()
LINEAR = (1, 0)  # PyTorch [out, in] -> Flax [in, out]
CONV = (2, 3, 1, 0)  # OIHW -> HWIO
BLOCK = 2**20  # numbers that are checked at once

Shape = tuple[int, ...]


class MismatchError(UserError):
    """A checkpoint is not what the rules need. Names the key, not yet the file: `naming` does."""


class Rule(NamedTuple):
    """A pattern of checkpoint keys and the path patterns that such a tensor fills.

    With several paths the tensor is their concatenation along its first axis (PyTorch's packed projections).
    axes: the permutation of the tensor's axes that makes it a weight; () leaves them in place.
    """

    key: str
    paths: tuple[str, ...]
    axes: tuple[int, ...] = SAME


class Target(NamedTuple):
    """A weight, or one index of the first axis of a stacked weight."""

    path: str
    index: int | None

    def __str__(self) -> str:
        return self.path if self.index is None else f"{self.path}[{self.index}]"


class Assignment(NamedTuple):
    """What one tensor fills, in the order of its parts, and the permutation of their axes."""

    targets: tuple[Target, ...]
    axes: tuple[int, ...]


class Assignments(NamedTuple):
    """Where every tensor of a checkpoint goes, and the keys that are left out on purpose."""

    used: dict[str, Assignment]
    ignored: tuple[str, ...]


@contextlib.contextmanager
def naming(file: str | Path) -> Iterator[None]:
    """Puts the name of the checkpoint's file before a MismatchError."""
    try:
        yield
    except MismatchError as error:
        raise UserError(f"{file}: {error}") from error


def assign(
    rules: Iterable[Rule], ignored: Iterable[str], source: Mapping[str, Shape], expected: Mapping[str, Shape]
) -> Assignments:
    """Assigns every tensor of a checkpoint to its weights; nothing is read.

    ignored: regexes of keys that carry nothing for us. source: {key: shape} of the checkpoint. expected: {path: shape} of
    our weights. Raises UserError naming the key that is unknown, extra, missing, set twice, or of a wrong shape.
    """
    rules, ignored = tuple(rules), tuple(ignored)
    shapes = _targets(rules, expected)
    used, skipped, filled = {}, [], {}
    for key, shape in source.items():
        if any(re.fullmatch(pattern, key) for pattern in ignored):
            skipped.append(key)
            continue
        rule, targets = _match(rules, key)
        for target in targets:
            if target not in shapes:
                raise MismatchError(f"extra key {key!r}: this model has no weight '{target}'; check the config's sizes")
            if target in filled:
                raise MismatchError(f"key {key!r} sets the weight '{target}' a second time, after {filled[target]!r}")
            _check_shape(key, tuple(shape), rule, target, shapes[target])
            filled[target] = key
        used[key] = Assignment(targets, rule.axes)
    missing = [target for target in shapes if target not in filled]
    if missing:
        key = _key(rules, missing[0])
        raise MismatchError(
            f"missing key {key!r} of the weight '{missing[0]}' ({len(missing)} missing in all); "
            "is the checkpoint complete?"
        )
    return Assignments(used, tuple(skipped))


def transfer(
    assignments: Assignments, read: Callable[[str], np.ndarray], write: Callable[[Target, np.ndarray], None]
) -> None:
    """Calls `write(target, array)` for all targets, with `read(key)` called once per tensor and no tensor kept.

    Raises UserError for a key whose numbers are not all finite in float32.
    """
    for key, (targets, axes) in assignments.used.items():
        tensor = read(key)
        _check_finite(key, tensor)
        parts = np.split(tensor, len(targets)) if len(targets) > 1 else [tensor]
        for target, part in zip(targets, parts, strict=True):
            write(target, part.transpose(axes) if axes else part)
        del tensor, parts, part  # before the next one is read


def _check_finite(key: str, tensor: np.ndarray) -> None:
    flat = tensor.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        with np.errstate(over="ignore"):
            numbers = flat[start : start + BLOCK].astype(np.float32)
        if not np.isfinite(numbers).all():
            raise MismatchError(
                f"key {key!r} holds NaN or infinite numbers: that training diverged; take another checkpoint"
            )


def to_params(
    rules: Iterable[Rule], ignored: Iterable[str], state_dict: Mapping[str, np.ndarray], expected: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], Assignments]:
    """A checkpoint in memory as ({path: array}, where every key went).

    expected: arrays or ShapeDtypeStructs by path; values are cast to their dtype. Raises UserError as `assign` does.
    """
    source = {key: np.shape(tensor) for key, tensor in state_dict.items()}
    assignments = assign(rules, ignored, source, {path: value.shape for path, value in expected.items()})
    params = {path: np.empty(value.shape, value.dtype) for path, value in expected.items()}

    def write(target: Target, part: np.ndarray) -> None:
        params[target.path][... if target.index is None else target.index] = part

    transfer(assignments, lambda key: np.asarray(state_dict[key]), write)
    return params, assignments


def to_state_dict(rules: Iterable[Rule], params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """{key: array} of our weights; the inverse of `to_params`, without the ignored keys.

    Raises UserError for a weight that no rule has, or one that a packed tensor lacks.
    """
    rules = tuple(rules)
    targets = _targets(rules, {path: np.shape(value) for path, value in params.items()})
    state_dict = {}
    for key in dict.fromkeys(_key(rules, target) for target in targets):
        rule, parts = _match(rules, key)
        if lacking := [target for target in parts if target not in targets]:
            raise MismatchError(f"no weight '{lacking[0]}', which is a part of {key!r}")
        arrays = [np.asarray(params[path])[... if index is None else index] for path, index in parts]
        if rule.axes:
            arrays = [array.transpose(np.argsort(rule.axes)) for array in arrays]
        state_dict[key] = np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
    return state_dict


def _targets(rules: Iterable[Rule], shapes: Mapping[str, Shape]) -> dict[Target, Shape]:
    """{target: shape} of all weights; a weight that a rule stacks is one target per layer."""
    stacked = {path.replace(STACKED, "") for rule in rules for path in rule.paths if STACKED in path}
    targets = {}
    for path, shape in shapes.items():
        if path in stacked:
            targets |= {Target(path, i): tuple(shape[1:]) for i in range(shape[0])}
        else:
            targets[Target(path, None)] = tuple(shape)
    return targets


@cache
def _regex(pattern: str) -> re.Pattern:
    """Placeholders become named groups of digits, everything else is literal."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[0-9]{1,9})", re.escape(pattern)))


def _match(rules: Iterable[Rule], key: str) -> tuple[Rule, tuple[Target, ...]]:
    """The rule of a key and the targets that it fills."""
    for rule in rules:
        if match := _regex(rule.key).fullmatch(key):
            return rule, tuple(
                Target(path.replace(STACKED, ""), int(match["i"]))
                if STACKED in path
                else Target(path.format(**match.groupdict()), None)
                for path in rule.paths
            )
    raise MismatchError(f"unknown key {key!r}: no conversion rule matches it; is it the right kind of checkpoint?")


def _key(rules: Iterable[Rule], target: Target) -> str:
    """The key whose tensor fills a target: the inverse of `_match`."""
    for rule in rules:
        for path in rule.paths:
            if STACKED in path and path.replace(STACKED, "") == target.path:
                return rule.key.format(i=target.index)
            if match := _regex(path).fullmatch(target.path):
                return rule.key.format(**match.groupdict())
    raise MismatchError(f"no conversion rule leads to the weight '{target}'")


def _check_shape(key: str, shape: Shape, rule: Rule, target: Target, expected: Shape) -> None:
    """UserError unless a tensor of this shape fills a target of shape `expected`."""
    needed = tuple(expected[axis] for axis in np.argsort(rule.axes)) if rule.axes else expected
    if len(rule.paths) > 1:
        needed = (needed[0] * len(rule.paths), *needed[1:])
    if shape != needed:
        raise MismatchError(
            f"key {key!r} has shape {shape} where {needed} is needed for the weight '{target}'; "
            "check the config's sizes"
        )
