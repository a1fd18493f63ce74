"""CRC-32C of every array of a checkpoint: taken before it is written, compared after it is read.

    {path: ["float32[8,4]", {"0:4,0:4": "9ae0daaf", "4:8,0:4": "113fdb5c"}]}

An array that lies on several devices has one sum for each different part, taken by a process that holds it; the sums
alone are sent. So no process sees more of an array than it does without them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import google_crc32c
import jax
import numpy as np
from jax.experimental import multihost_utils

from dima_jax.errors import UserError

Sums = dict[str, list]
BLOCK = 2**24  # bytes that are summed at once: the library takes a copy alone
CHECKSUM = "checksum"  # the key of a sealed JSON object that holds its own sum


class DamageError(UserError):
    """What was read is not what was written."""


def of(tree: Any) -> Sums:
    """{path: [dtype and shape, {region: sum}]} of a tree of arrays; every process gets all of it."""
    leaves = leaves_by_path(tree)
    keys = [(path, region) for path, leaf in leaves.items() for region in _regions(leaf)]
    own = {(path, region): crc(data) for path, leaf in leaves.items() for region, data in _own_parts(leaf)}
    values = np.array([own.get(key, 0) for key in keys], np.uint32)
    if jax.process_count() > 1:  # each part is summed by one process
        values = multihost_utils.process_allgather(values).sum(axis=0, dtype=np.uint32)
    sums: Sums = {path: [label(leaf), {}] for path, leaf in leaves.items()}
    for (path, region), value in zip(keys, values, strict=True):
        sums[path][1][region] = f"{value:08x}"
    return sums


def check_labels(leaves: Mapping[str, Any], sums: Sums) -> None:
    """DamageError naming the first array that is missing, extra, or not of the dtype and shape that were saved.

    leaves: {path: anything with shape and dtype}.
    """
    for path in sorted(leaves.keys() | sums.keys()):
        if path not in leaves:
            raise DamageError(f"the array {path} is missing")
        if path not in sums:
            raise DamageError(f"the array {path} was not saved with it")
        if label(leaves[path]) != sums[path][0]:
            raise DamageError(f"the array {path} is {label(leaves[path])}, was saved as {sums[path][0]}")


def check(tree: Any, sums: Sums) -> int:
    """Compares a tree with its sums; returns how many arrays hold a part that could not be compared.

    That is one which now lies on the devices of several processes and was saved in other parts. DamageError, in every
    process, naming the first array that differs.
    """
    leaves = leaves_by_path(tree)
    check_labels(leaves, sums)
    unchecked, differing = set(), []
    for path, leaf in leaves.items():
        parts = _parts(leaf)
        for region, expected in sums[path][1].items():
            data = parts.get(region)
            if data is None and (not isinstance(leaf, jax.Array) or leaf.is_fully_addressable):
                data = np.asarray(leaf)[_slices(region)]
            if data is None:
                unchecked.add(path)
            elif f"{crc(data):08x}" != expected:
                differing.append(path)
    worst = _agree(differing, list(leaves))
    if worst is not None:
        raise DamageError(f"the array {worst} is not what was saved (its CRC-32C differs)")
    return len(unchecked)


def crc(array: Any) -> int:
    """CRC-32C of an array's bytes in C order."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    value = 0
    for start in range(0, flat.size, BLOCK):
        value = google_crc32c.extend(value, flat[start : start + BLOCK].tobytes())
    return value


def label(leaf: Any) -> str:
    """Dtype and shape, e.g. "float32[8,4]"."""
    return f"{np.dtype(leaf.dtype).name}[{','.join(map(str, leaf.shape))}]"


def leaves_by_path(tree: Any) -> dict[str, Any]:
    """{path: leaf} of a tree, e.g. "0/mu/student/planner/ego_query"."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def seal(content: Mapping) -> dict:
    """A JSON object with the sum of all else in it under CHECKSUM."""
    content = json.loads(json.dumps(content))
    return content | {CHECKSUM: _text_sum(content)}


def unseal(content: Any) -> dict:
    """The object that was sealed. DamageError if it is not that any more."""
    if not isinstance(content, dict) or CHECKSUM not in content:
        raise DamageError(f"it has no {CHECKSUM}")
    rest = {key: value for key, value in content.items() if key != CHECKSUM}
    if content[CHECKSUM] != _text_sum(rest):
        raise DamageError("it is not what was saved (its CRC-32C differs)")
    return rest


def _text_sum(content: Mapping) -> str:
    return f"{google_crc32c.value(json.dumps(content, sort_keys=True).encode()):08x}"


def _agree(differing: list[str], paths: list[str]) -> str | None:
    """The same differing path in every process; None if there is none in any."""
    first = max((paths.index(path) for path in differing), default=-1)
    if jax.process_count() > 1:
        first = int(multihost_utils.process_allgather(np.int32(first)).max())
    return None if first < 0 else paths[first]


def _regions(leaf: Any) -> list[str]:
    """The different parts of an array, over all processes."""
    if not isinstance(leaf, jax.Array):
        return [_region((), leaf.shape)]
    indices = leaf.sharding.devices_indices_map(leaf.shape).values()
    return sorted({_region(index, leaf.shape) for index in indices})


def _own_parts(leaf: Any) -> Iterator[tuple[str, np.ndarray]]:
    """(region, values) of the parts of which this process holds the first copy."""
    if not isinstance(leaf, jax.Array):
        yield _region((), leaf.shape), np.asarray(leaf)
        return
    for shard in leaf.addressable_shards:
        if shard.replica_id == 0:
            yield _region(shard.index, leaf.shape), np.asarray(shard.data)


def _parts(leaf: Any) -> dict[str, Any]:
    """{region: values} of all parts here."""
    if not isinstance(leaf, jax.Array):
        return {}
    return {_region(shard.index, leaf.shape): shard.data for shard in leaf.addressable_shards}


def _region(index: tuple, shape: tuple[int, ...]) -> str:
    """E.g. "0:4,0:8" for index (slice(0, 4), slice(None)) of shape (8, 8); () is the whole."""
    slices = index or (slice(None),) * len(shape)
    bounds = [part.indices(size)[:2] for part, size in zip(slices, shape, strict=True)]
    return ",".join(f"{start}:{stop}" for start, stop in bounds)


def _slices(region: str) -> tuple[slice, ...]:
    return tuple(slice(*map(int, part.split(":"))) for part in region.split(",") if part)
