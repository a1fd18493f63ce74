"""`.pth` files are read as torch wrote them, and nothing in them is run."""

import json
import pickle
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dima_jax.convert import torch_file
from dima_jax.errors import UserError
from tests import damage, torch_writer

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


def test_what_lies_beside_the_state_dict_does_not_decide(tmp_path):
    array = np.arange(6, dtype=np.float32)
    beside = {
        "hook_msgs": {"best_score": np.float64(0.31)},
        "place": Path("x"),
        "tags": {1, 2},
        "fraction": Fraction(1),
    }
    file = torch_writer.write(tmp_path / "x.pth", {"meta": beside, "state_dict": {"a": array, "n": np.float32(0.5)}})
    found = torch_file.read_state_dict(file)
    np.testing.assert_array_equal(found["a"], array)
    assert found.keys() == {"a", "n"} and found["n"] == np.float32(0.5) and found["n"].shape == ()


def test_averaged_copies(tmp_path):
    old, new, count = np.zeros(3, np.float32), np.ones(3, np.float32), np.ones(3, np.int64)
    files = {
        "mmcv": {"state_dict": {"module.a.w": old, "module.n": count, "module.ema_a_w": new}},
        "mmengine": {"state_dict": {"a.w": old, "n": count}, "ema_state_dict": {"module.a.w": new, "steps": count}},
        "timm": {"model": {"a.w": old, "n": count}, "model_ema": {"a.w": new, "n": count}},
    }
    for name, content in files.items():
        file = torch_writer.write(tmp_path / f"{name}.pth", content)
        assert torch_file.read_state_dict(file)["a.w"].max() == 0, name
        found = torch_file.read_state_dict(file, averaged=True)
        assert found.keys() == {"a.w", "n"} and found["a.w"].min() == 1, name
    file = torch_writer.write(tmp_path / "plain.pth", {"a.w": old})
    with pytest.raises(UserError, match="holds no averaged weights"):
        torch_file.read_state_dict(file, averaged=True)


def test_prefixes_are_dropped_only_where_all_names_have_them(tmp_path):
    array = np.ones(2, np.float32)
    file = torch_writer.write(tmp_path / "x.pth", {"module.model.a": array, "module.model.b": array})
    assert torch_file.read_state_dict(file).keys() == {"a", "b"}
    assert torch_file.index(file).keys() == {"module.model.a", "module.model.b"}
    for prefix in ("model.module.", "module.module.", "_orig_mod.module."):
        file = torch_writer.write(tmp_path / "x.pth", {f"{prefix}a": array, f"{prefix}b": array})
        assert torch_file.read_state_dict(file).keys() == {"a", "b"}
    file = torch_writer.write(tmp_path / "x.pth", {"module.a": array, "a": array + 1})
    assert torch_file.read_state_dict(file).keys() == {"module.a", "a"}


def test_views_of_one_storage_are_read_once(tmp_path, monkeypatch):
    flat = np.arange(12, dtype=np.float32)
    views = {"a": flat[:6].reshape(2, 3), "b": flat[6:], "all": flat}
    file = torch_writer.write(tmp_path / "x.pth", views)
    reads = []
    read = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda archive, name: (reads.append(name), read(archive, name))[1])
    assert damage.same_arrays(torch_file.read_state_dict(file), views)
    assert [name for name in reads if "/data/" in name] == ["archive/data/0"]


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
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        torch_file.read_state_dict(tmp_path / "folder.pth")
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


def tensor(size: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """The pickle of a state dict of one tensor, of a storage of `size` numbers."""

    def number(n: int) -> bytes:
        return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)

    def tuple_of(numbers) -> bytes:
        return b"(" + b"".join(map(number, numbers)) + b"t"

    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu" + number(size) + b"tQ"
    built = b"(" + storage + number(0) + tuple_of(shape) + tuple_of(strides) + b"\x89}tR"
    return b"\x80\x02}X\x01\0\0\0a" + b"ctorch._utils\n_rebuild_tensor_v2\n" + built + b"s."


ZEROS = bytes(64)  # a storage of 16 float32
HASHES = b"\x80\x02}" + b"K\x01K\x01\x86q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"h\x00K\x01s."
HOSTILE = {  # {name: (pickle, its storage)}
    "stride_0": (tensor(16, (2**20, 2**20), (0, 0)), ZEROS),
    "stride_0_small": (tensor(16, (17,), (0,)), ZEROS),
    "huge_storage": (tensor(2**60, (2**60,), (1,)), ZEROS),
    "huge_tensor": (tensor(16, (2**60, 2**60), (1, 1)), ZEROS),
    "overflow": (tensor(16, (2**62, 4), (4, 1)), ZEROS),
    "negative": (tensor(16, (-4,), (1,)), ZEROS),
    "backwards": (tensor(16, (4,), (-1,)), ZEROS),
    "memo_index": (b"\x80\x02}r\xff\xff\xff\x7f.", ZEROS),
    "bytearray8": (b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".", ZEROS),
    "text": (b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b".", ZEROS),
    "integer": (b"\x80\x02\x8b" + (2**31 - 1).to_bytes(4, "little") + b".", ZEROS),
    "nested_keys": (HASHES, ZEROS),
    "many_objects": (b"\x80\x02" + b"}" * 30_000_000 + b".", ZEROS),
    "deep": (b"\x80\x02" + b"]" * 500_000 + b"a" * 499_999 + b".", ZEROS),
}


def test_hostile_files_are_refused_in_time_and_memory(tmp_path):
    for name, (pickled, storage) in HOSTILE.items():
        torch_writer.write_parts(tmp_path / f"{name}.pth", pickled, [storage])
    packed = tensor(2**28, (2**28,), (1,)), [bytes(2**28)]
    torch_writer.write_parts(tmp_path / "zip_bomb.pth", *packed, compression=zipfile.ZIP_DEFLATED)
    worker = [sys.executable, "-m", "tests.convert.hostile_worker", str(tmp_path)]
    done = subprocess.run(worker, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(HOSTILE) + 1
    for name, seconds, refusal in lines:
        assert refusal and "Memory" not in refusal and len(refusal.splitlines()) == 1, (name, refusal)
        assert seconds < 2, (name, seconds)


@pytest.mark.parametrize(("name", "region", "count"), [("zip.pth", None, 100), ("legacy.pth", 400, 50)])
def test_damaged_files_are_refused_or_read_as_they_were(name, region, count, tmp_path):
    """The old format has no checksums: a name or a stride in it can change unseen, so only its refusals are looked at."""
    expected = torch_file.read_state_dict(REAL / name)

    def read(content: bytes) -> bool:
        (tmp_path / name).write_bytes(content)
        return damage.same_arrays(torch_file.read_state_dict(tmp_path / name), expected) or name == "legacy.pth"

    assert damage.survey((REAL / name).read_bytes(), read, count, seed=0, region=region)["refused"] > count / 2
