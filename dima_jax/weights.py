"""Weights as one flat dict {path: array}: the only form that leaves a module.

A path is the attribute chain of the NNX module, "student/planner/ego_decoder/0/kernel"; the same string addresses a
weight in the freeze list, the sharding rules, conversion tables, checkpoints and the export.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from dima_jax.errors import UserError

Params = dict[str, jax.Array]


def split(model: nnx.Module) -> tuple[nnx.GraphDef, Params]:
    """The module's structure and its weights by path (arrays, or ShapeDtypeStructs under `nnx.eval_shape`)."""
    graph, state = nnx.split(model)
    return graph, {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


def bind(graph: nnx.GraphDef, params: Mapping[str, Any]) -> nnx.Module:
    """The module with these weights; every weight of the structure must be given."""
    flat = [
        (tuple(int(k) if k.isdigit() else k for k in path.split("/")), nnx.Param(value))
        for path, value in params.items()
    ]
    return nnx.merge(graph, nnx.from_flat_state(flat))


def with_prefix(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The weights whose path starts with `prefix`, full paths kept."""
    return {path: value for path, value in params.items() if path.startswith(prefix)}


def match(rules: Iterable[tuple[str, Any]], paths: Iterable[str]) -> dict[str, Any]:
    """{path: value of the first rule whose regex matches the whole path}.

    Raises UserError naming the path that no rule matches.
    """
    compiled = [(re.compile(pattern), value) for pattern, value in rules]
    matched = {}
    for path in paths:
        for pattern, value in compiled:
            if pattern.fullmatch(path):
                matched[path] = value
                break
        else:
            raise UserError(
                f"no rule matches the weight {path!r}: add a line for it to config.optim.groups or config.mesh.rules"
            )
    return matched


def count(params: Mapping[str, Any]) -> int:
    """How many numbers the weights hold."""
    return sum(int(np.prod(value.shape)) for value in params.values())
