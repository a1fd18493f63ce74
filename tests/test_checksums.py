"""Checksums: of parts of arrays on several devices, what they notice, and the seal of JSON."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dima_jax import checksums
from dima_jax.checksums import DamageError


def placed(array, *axes):
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "fsdp"))
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*axes)))


ARRAY = np.arange(32, dtype=np.float32).reshape(8, 4)


def test_it_is_castagnoli_of_the_bytes():
    assert checksums.crc(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283  # the polynomial's check value
    assert checksums.crc(np.asfortranarray(ARRAY)) == checksums.crc(ARRAY) != checksums.crc(ARRAY.T)
    large = np.zeros(checksums.BLOCK + 5, np.uint8)
    assert checksums.crc(large) != checksums.crc(large[1:])


@pytest.mark.parametrize(("axes", "parts"), [((), 1), (("fsdp",), 2), (("fsdp", "data"), 4)])
def test_each_different_part_has_one_sum(axes, parts):
    sums = checksums.of({"w": placed(ARRAY, *axes)})
    assert sums["w"][0] == "float32[8,4]" and len(sums["w"][1]) == parts
    for other in (ARRAY, placed(ARRAY), placed(ARRAY, "fsdp"), placed(ARRAY, None, "data")):
        assert checksums.check({"w": other}, sums) == 0  # wherever it lies now
    changed = ARRAY.copy()
    changed[7, 3] += 1
    for other in (changed, placed(changed, "fsdp")):
        with pytest.raises(DamageError, match="the array w is not what was saved"):
            checksums.check({"w": other}, sums)


def test_names_shapes_and_dtypes_are_compared():
    sums = checksums.of({"a": ARRAY, "b": (jnp.zeros((), jnp.bfloat16),)})
    assert checksums.check({"a": ARRAY, "b": (jnp.zeros((), jnp.bfloat16),)}, sums) == 0
    with pytest.raises(DamageError, match="b/0 is missing"):
        checksums.check({"a": ARRAY}, sums)
    with pytest.raises(DamageError, match=r"a is float32\[4,8\], was saved as float32\[8,4\]"):
        checksums.check({"a": ARRAY.reshape(4, 8), "b": (jnp.zeros((), jnp.bfloat16),)}, sums)
    with pytest.raises(DamageError, match="extra was not saved"):
        checksums.check({"a": ARRAY, "b": (jnp.zeros((), jnp.bfloat16),), "extra": ARRAY}, sums)


def test_a_sealed_object_is_what_it_was():
    content = {"step": 5, "config": {"rate": 1e-3, "shape": (1, 2)}}
    sealed = checksums.seal(content)
    assert checksums.unseal(sealed) == {"step": 5, "config": {"rate": 1e-3, "shape": [1, 2]}}
    for broken in (sealed | {"step": 6}, sealed | {"more": 1}, {"step": 5}, [sealed], None):
        with pytest.raises(DamageError):
            checksums.unseal(broken)
