"""`.pth` files are read as torch wrote them, and nothing in them is run."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dima_jax.convert import torch_file
from dima_jax.errors import UserError
from tests import torch_writer

REAL = Path(__file__).parent / "torch_files"  # written by torch.save; see make.py there


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_files_of_torch_itself(name):
    found = torch_file.read_state_dict(REAL / name)
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    expected = {
        "whole": whole,
        "transposed": whole.transpose(2, 0, 1),
        "row": whole[1, 2],
        "half": np.array([0.5, -2.0], np.float16),
        "count": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].dtype == array.dtype and found[key].shape == array.shape, key
        np.testing.assert_array_equal(found[key], array)


def test_mmcv_checkpoint_with_its_prefix(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    checkpoint = {
        "meta": {"epoch": 12, "CLASSES": ("car",)},
        "state_dict": {"module.a": array},
        "optimizer": {"state": {0: array}},
    }
    found = torch_file.read_state_dict(torch_writer.write(tmp_path / "x.pth", checkpoint))
    assert found.keys() == {"a"}
    np.testing.assert_array_equal(found["a"], array)


class Payload:
    def __init__(self, ran: Path):
        self.ran = ran

    def __reduce__(self):
        return Path.touch, (self.ran,)


def test_a_pickle_that_runs_something_is_not_opened(tmp_path):
    ran = tmp_path / "ran"
    file = tmp_path / "evil.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Payload(ran)}, protocol=2))
    with pytest.raises(UserError, match="more than tensors"):
        torch_file.read_state_dict(file)
    assert not ran.exists()


def test_damaged_and_foreign_files_are_named(tmp_path):
    good = torch_writer.write(tmp_path / "good.pth", {"a": np.ones(1000, np.float32)}).read_bytes()
    cases = {
        "cut.pth": good[: len(good) // 2],
        "text.pth": b"hello",
        "empty.pth": b"",
        "pickle.pth": pickle.dumps({"a": 1}),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            torch_file.read_state_dict(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        torch_file.read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(UserError, match="no state dict"):
        torch_file.read_state_dict(torch_writer.write(tmp_path / "other.pth", {"epoch": 3}))


def test_a_storage_that_is_too_short_is_refused(tmp_path):
    file = torch_writer.write(tmp_path / "x.pth", {"a": np.ones(8, np.float32)})
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content[:16] if "/data/" in name else content)
    with pytest.raises(UserError, match="damaged"):
        torch_file.read_state_dict(file)
