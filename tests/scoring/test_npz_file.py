"""Files of arrays: equal content gives equal bytes, and what is not such a file is refused in one line."""

import time

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import npz_file
from tests.damage import same_arrays, survey

HEAD = {"format": "a.format", "version": 2, "note": "ä", "none": None}


def arrays():
    return {
        "b": np.arange(60, dtype=np.float32).reshape(5, 6, 2),
        "a": np.array(["x", "yy"]),
        "empty": np.zeros((0, 2)),
        "scalar": np.array(3),
    }


def test_round_trip_and_equal_bytes(tmp_path):
    first, second = tmp_path / "new" / "1.npz", tmp_path / "2.npz"
    npz_file.write(first, arrays(), HEAD)
    time.sleep(2.1)  # zip files date their members by 2 s
    npz_file.write(second, dict(reversed(arrays().items())), dict(reversed(HEAD.items())))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["1.npz"]
    found, header = npz_file.read(first, "a.format", 2)
    assert same_arrays(found, arrays())
    assert header == HEAD | {"content_hash": npz_file.content_hash(arrays())}


@pytest.mark.parametrize(
    "change",
    [
        {"b": np.arange(60, dtype=np.float32).reshape(6, 5, 2)},
        {"b": np.arange(60, dtype=np.int32).reshape(5, 6, 2)},
        {"scalar": np.array(4)},
        {"more": np.zeros(0)},
    ],
)
def test_the_content_hash_tells_contents_apart(change):
    assert npz_file.content_hash(arrays() | change) != npz_file.content_hash(arrays())


def test_how_an_array_lies_in_memory_does_not_matter(tmp_path):
    turned = {key: array.copy(order="F") for key, array in arrays().items()}
    assert npz_file.content_hash(turned) == npz_file.content_hash(arrays())
    npz_file.write(tmp_path / "1.npz", turned, HEAD)
    npz_file.write(tmp_path / "2.npz", arrays(), HEAD)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def refused(path, match):
    with pytest.raises(UserError, match=match) as caught:
        npz_file.read(path, "a.format", 2)
    assert len(str(caught.value).splitlines()) == 1


def test_foreign_and_newer_files_are_refused(tmp_path):
    file = tmp_path / "x.npz"
    refused(file, r"x\.npz: No such file or directory; give a file of the format a\.format")
    refused(tmp_path, "Is a directory")
    file.write_text("no zip")
    refused(file, "is no npz file or is damaged")
    np.savez(file, b=np.zeros(2))
    refused(file, "has no header")
    np.savez(file, header=np.array("[1"))
    refused(file, "has no header")
    np.savez(file, header=np.array([None], object))
    refused(file, "'header' is no array of numbers or texts")
    npz_file.write(file, arrays(), HEAD | {"format": "another.format"})
    refused(file, r"is of the format 'another\.format'; give a file of the format a\.format")
    npz_file.write(file, arrays(), HEAD | {"version": 3})
    refused(file, "is of version 3 of the format a.format, this code reads up to 2; update dima_jax")
    npz_file.write(file, arrays(), HEAD | {"version": 1})
    assert npz_file.read(file, "a.format", 2)[1]["version"] == 1


def test_other_arrays_under_the_same_hash_are_refused(tmp_path):
    file = tmp_path / "x.npz"
    npz_file.write(file, arrays(), HEAD)
    with np.load(file) as whole:
        content = dict(whole) | {"b": np.zeros((5, 6, 2), np.float32)}
    np.savez_compressed(file, **content)
    refused(file, "is damaged: its arrays are not those that were written")


def test_damage_is_refused_or_does_not_matter(tmp_path):
    file = tmp_path / "x.npz"
    npz_file.write(file, arrays(), HEAD)

    def read(content: bytes) -> bool:
        file.write_bytes(content)
        return same_arrays(npz_file.read(file, "a.format", 2)[0], arrays())

    assert survey(file.read_bytes(), read, 600, seed=1)["refused"] > 300


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"x\.npz: .*; give a file in a folder that can be written"):
        npz_file.write(tmp_path / "file" / "x.npz", arrays(), HEAD)
