"""Safetensors files read without the package's numpy loader, which has no bfloat16."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from dima_jax.convert import safetensors_files
from dima_jax.errors import UserError
from tests import damage


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


def write(file, entries, data: bytes) -> None:
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + data)


def entry(shape, begin, end, dtype="F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("entries", "size", "message"),
    [
        (b"<html>not the file you wanted</html>", 64, "its header is damaged"),
        (b"[" * 100_000, 0, "its header is damaged"),
        (b"[1]", 0, "its header is damaged"),
        ({"x": entry([4], 0, 16), "y": entry([4], 8, 24)}, 24, "'y' begins at 8"),
        ({"x": entry([4], 0, 16), "y": entry([4], 16, 32)}, 48, "fill 32 of 48"),
        ({"x": entry([4], 0, 16), "y": entry([4], 20, 36)}, 36, "'y' begins at 20"),
        ({"x": entry([8], 0, 16)}, 16, r"shape \[8\] of F32 in 16 bytes"),
        ({"x": entry([-4], 0, 16)}, 16, "no shape"),
        ({"x": entry([2**60, 2**60], 0, 16)}, 16, "in 16 bytes"),
        ({"x": entry([4.0], 0, 16)}, 16, "no shape"),
        ({"x": entry([4], -16, 0)}, 16, "no shape"),
        ({"x": entry([4], 0, 2**62)}, 16, "cut short"),
        ({"x": {"dtype": "F32"}}, 16, "data_offsets"),
        ({"x": None}, 16, "its header is damaged"),
        (b'{"x": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "x": 1}', 0, "twice"),
    ],
)
def test_headers_that_do_not_fit_their_file(tmp_path, entries, size, message):
    write(tmp_path / "model.safetensors", entries, bytes(size))
    with pytest.raises(UserError, match=rf"model\.safetensors: .*{message}"):
        safetensors_files.index(tmp_path)


def test_a_length_beyond_the_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2**63) + bytes(64))
    with pytest.raises(UserError, match="cut short"):
        safetensors_files.index(tmp_path)


def test_damaged_headers_are_refused_or_read_as_they_were(tmp_path):
    """The format has no checksum: a name can change unseen, and is refused by the converter, which knows all names."""
    rng = np.random.default_rng(0)
    shapes = {"embed": (20, 16), "layer.0": (8, 16), "layer.1": (8, 24), "norm": (16,), "head": (20, 16)}
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()

    def read(content: bytes) -> bool:
        (tmp_path / "model.safetensors").write_bytes(content)
        found = {key: stored.read() for key, stored in safetensors_files.index(tmp_path).items()}
        return found.keys() != tensors.keys() or damage.same_arrays(found, tensors)

    header = 8 + struct.unpack("<Q", whole[:8])[0]
    assert damage.survey(whole, read, 100, seed=1, region=header)["refused"] > 60
