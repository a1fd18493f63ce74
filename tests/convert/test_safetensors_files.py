"""Safetensors files read without the package's numpy loader, which has no bfloat16."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from dima_jax.convert import safetensors_files
from dima_jax.errors import UserError


def test_every_dtype_is_read_as_written(tmp_path):
    tensors = {
        name: np.arange(6, dtype=dtype).reshape(2, 3) / 4
        for name, dtype in (("f32", np.float32), ("f16", np.float16), ("f64", np.float64), ("bf16", ml_dtypes.bfloat16))
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = safetensors_files.index(tmp_path)
    assert found.keys() == tensors.keys()
    for name, expected in tensors.items():
        tensor = found[name].read()
        assert found[name].shape == tensor.shape and tensor.dtype == expected.dtype
        np.testing.assert_array_equal(tensor, expected)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no \*\.safetensors"):
        safetensors_files.index(tmp_path)
    file = tmp_path / "a.safetensors"
    save_file({"x": np.zeros(4, np.float32)}, file)
    whole = file.read_bytes()
    for content in (whole[:-8], whole[:12], whole[:3]):
        file.write_bytes(content)
        with pytest.raises(UserError, match="cut short"):
            safetensors_files.index(tmp_path)


def test_a_key_in_two_files_is_refused(tmp_path):
    for name in "ab":
        save_file({"x": np.zeros(4, np.float32)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError, match=r"b\.safetensors: x is also in a\.safetensors"):
        safetensors_files.index(tmp_path)


def test_a_quantized_tensor_is_refused_when_it_is_read(tmp_path):
    header = json.dumps({"x": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "q.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(UserError, match="dtype I8 is not supported"):
        safetensors_files.index(tmp_path)["x"].read()
