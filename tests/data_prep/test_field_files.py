"""Files of other projects are opened without running them, and what is no such file is one line."""

import gzip
import json
import pickle

import numpy as np
import pytest

from data_prep import field_files
from dima_jax.convert.torch_pickle import Foreign
from dima_jax.errors import UserError


def test_json_gzip_and_pickles(tmp_path):
    content = {"a": [[1.0, 2.0]], "b": None}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert [field_files.read(str(tmp_path / name)) for name in ("a.json", "a.json.gz", "a.pkl")] == [content] * 3


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", b"{", "is no JSON file, or is damaged"),
        ("a.json", b'{"a": 1, "a": 2}', "'a' is there twice"),
        ("a.json", b"[" * 100_000, "is no JSON file, or is damaged"),
        ("a.json", b"\xff\xfe", "is no JSON file, or is damaged"),
        ("a.json.gz", gzip.compress(b"{}", mtime=0)[:-4], "is no JSON file, or is damaged"),
        ("a.json.gz", b"{}", "is no JSON file, or is damaged"),
        ("a.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:20] + b"\x00" * 40, "is no JSON file, or is damaged"),
        ("a.pkl", b"nothing", "is no pickle of plain values"),
        ("a.pkl.gz", b"", "must be a .json, .json.gz or .pkl file; unpack it first"),
        ("a.txt", b"", "must be a .json"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=why) as raised:
        field_files.read(str(tmp_path / name))
    assert len(str(raised.value).splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path):
    for name in ("a.json", "a.json.gz", "a.pkl"):
        with pytest.raises(UserError, match="No such file"):
            field_files.read(str(tmp_path / name))


def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(field_files, "MOST_BYTES", 2**20)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b" " * 2**21, mtime=0))
    with pytest.raises(UserError, match="larger than"):
        field_files.read(str(tmp_path / "a.json.gz"))


def test_names_are_of_one_line():
    assert all(map(field_files.is_name, ("a", "scene-0001", "é" * 100)))
    assert not any(map(field_files.is_name, ("", "a\nb", "a\0", "\ud800", "a" * 101, 1, None, b"a", ["a"])))


def test_numbers():
    found = field_files.numbers("f", "t", "x", [[1, 2], [3, 4.5]])
    assert found.dtype == np.float64 and found.tolist() == [[1, 2], [3, 4.5]]
    assert field_files.numbers("f", "t", "x", np.array([True])).tolist() == [1.0]
    for value in ("1", ["a"], [[1], [1, 2]], [None], {}, None, [10**400], Foreign("torch.Tensor")):
        with pytest.raises(UserError, match=r"^f: sample t: x is not an array of numbers"):
            field_files.numbers("f", "t", "x", value)
    with pytest.raises(UserError, match=r"\(torch\.Tensor\)"):
        field_files.numbers("f", "t", "x", Foreign("torch.Tensor"))
