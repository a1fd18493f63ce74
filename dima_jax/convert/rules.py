"""The strict engine of weight conversion: a table of name patterns between a foreign checkpoint and our paths.

A pattern is a name with placeholders for integers, "layers.{i}.norms.0.weight"; the same placeholders appear on both
sides, so a table reads in both directions. Every foreign name must be used exactly once or be listed as ignored, every
path must be set exactly once, and every shape must fit: a conversion accounts for everything or refuses, naming the key.

Our equal layers are stacked: "layers[{i}]/norm/scale" is row i of the weight "layers/norm/scale".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from dima_jax.errors import UserError


class Change(NamedTuple):
    """An invertible change of an array on its way to us, and back."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


ROW = "[{i}]"  # in a path pattern
SAME = Change(lambda x: x, lambda x: x)
LINEAR = Change(lambda x: x.T, lambda x: x.T)  # PyTorch [out, in] <-> Flax [in, out]
CONV = Change(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))  # OIHW <-> HWIO


class Rule(NamedTuple):
    """One foreign name pattern and the paths it fills.

    With several paths the foreign array is their concatenation along its first axis (PyTorch's packed projections).
    """

    foreign: str
    paths: tuple[str, ...]
    change: Change = SAME


class Report(NamedTuple):
    """What went where: foreign name -> our paths, and the foreign names that were left out on purpose."""

    used: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]


def compiled(pattern: str) -> re.Pattern:
    """The regex of a name pattern: {i} becomes a named integer group, everything else is literal."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(pattern)))


def assign(rules: Iterable[Rule], ignored: Iterable[str], names: Iterable[str]):
    """({foreign name: (rule, its paths)}, ignored names). Raises UserError for a name that no pattern matches."""
    table = [(compiled(rule.foreign), rule) for rule in rules]
    skip = [re.compile(pattern) for pattern in ignored]
    assigned, skipped = {}, []
    for name in names:
        if any(pattern.fullmatch(name) for pattern in skip):
            skipped.append(name)
            continue
        for pattern, rule in table:
            if match := pattern.fullmatch(name):
                assigned[name] = rule, tuple(path.format(**match.groupdict()) for path in rule.paths)
                break
        else:
            raise UserError(f"unknown key {name!r}: no conversion rule matches it; is it the right kind of checkpoint?")
    return assigned, tuple(skipped)


def to_ours(
    rules: Iterable[Rule], ignored: Iterable[str], foreign: Mapping[str, np.ndarray], expected: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], Report]:
    """Foreign arrays to {our path: array}, against the expected shapes (arrays or ShapeDtypeStructs by path).

    ignored: regexes of foreign names that carry nothing for us.
    Raises UserError naming the key that is unknown, extra, missing, set twice, or of a wrong shape.
    """
    assigned, skipped = assign(rules, ignored, foreign)
    ours: dict[str, np.ndarray] = {}
    expected = rows(rules, expected)
    for name, (rule, paths) in assigned.items():
        array = np.asarray(foreign[name])
        if array.shape and array.shape[0] % len(paths):
            raise UserError(f"key {name!r} has shape {array.shape}, which does not split into {len(paths)} parts")
        for path, part in zip(paths, np.split(array, len(paths)) if len(paths) > 1 else [array], strict=True):
            if path not in expected:
                raise UserError(f"extra key {name!r}: this model has no weight {path!r}; check the config's sizes")
            if path in ours:
                raise UserError(f"key {name!r} sets the weight {path!r} a second time")
            ours[path] = fitted(name, rule.change, part, path, expected[path])
    missing = [path for path in expected if path not in ours]
    if missing:
        key = foreign_names(rules, missing[:1])[0]
        raise UserError(f"missing key {key!r} ({len(missing)} weights in all); is the checkpoint complete?")
    return stacked(ours), Report({name: paths for name, (_, paths) in assigned.items()}, skipped)


def rows(rules: Iterable[Rule], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Stacked weights (arrays or ShapeDtypeStructs) row by row under the names of the table, the others as they are."""
    patterns = [path for rule in rules for path in rule.paths if ROW in path]
    names = {path.replace(ROW, ""): path for path in patterns}
    result = {}
    for path, value in weights.items():
        if path not in names:
            result[path] = value
            continue
        for i in range(value.shape[0]):
            abstract = isinstance(value, jax.ShapeDtypeStruct)
            row = jax.ShapeDtypeStruct(value.shape[1:], value.dtype) if abstract else value[i]
            result[names[path].format(i=i)] = row
    return result


def stacked(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `rows`."""
    whole: dict[str, Any] = {}
    for path, value in weights.items():
        if match := re.search(r"\[(\d+)\]", path):
            whole.setdefault(path.replace(match[0], ""), {})[int(match[1])] = value
        else:
            whole[path] = value
    return {
        path: np.stack([value[i] for i in range(len(value))]) if isinstance(value, dict) else value
        for path, value in whole.items()
    }


def fitted(name: str, change: Change, array: np.ndarray, path: str, expected) -> np.ndarray:
    """The changed array; UserError if its rank or shape is not the expected one."""
    shape = tuple(expected.shape)
    if array.ndim != len(shape) or (result := change.there(array)).shape != shape:
        wanted = change.back(np.broadcast_to(np.float32(0), shape)).shape
        raise UserError(
            f"key {name!r} has shape {array.shape} where {wanted} is needed for the weight {path!r}; "
            "check the config's sizes"
        )
    return np.ascontiguousarray(result, dtype=expected.dtype)


def foreign_names(rules: Iterable[Rule], paths: Iterable[str]) -> list[str]:
    """The foreign name of every path (a packed name comes once per path). UserError for a path without one."""
    table = [(compiled(path), rule) for rule in rules for path in rule.paths]
    names = []
    for path in paths:
        for pattern, rule in table:
            if match := pattern.fullmatch(path):
                names.append(rule.foreign.format(**match.groupdict()))
                break
        else:
            raise UserError(f"no conversion rule leads to the weight {path!r}")
    return names


def to_foreign(rules: Iterable[Rule], ours: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our weights under their foreign names; the inverse of `to_ours` but for the ignored names."""
    rules = tuple(rules)
    ours = rows(rules, ours)
    assigned, _ = assign(rules, (), dict.fromkeys(foreign_names(rules, ours)))
    foreign = {}
    for name, (rule, paths) in assigned.items():
        lacking = [path for path in paths if path not in ours]
        if lacking:
            raise UserError(f"no weight {lacking[0]!r}, which is a part of {name!r}")
        parts = [rule.change.back(np.asarray(ours[path])) for path in paths]
        foreign[name] = np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))
    return foreign
