"""The truth file: what is saved is loaded, and what cannot be a truth is refused with its key."""

import hashlib

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, truth
from dima_jax.scoring.recorded import GROUPS
from tests.damage import same_arrays, survey
from tests.scoring.fake import fake_truth

HEADER = {"split": "val", "source": {"kind": "records", "files": ["a", "b"]}, "commit": "v1", "data_hash": "0123"}


@pytest.fixture(scope="module")
def arrays():
    return fake_truth(scenes=2, frames=3, agents=8).arrays()


def test_round_trip(tmp_path, arrays):
    truth.save(tmp_path / "1.npz", arrays, HEADER)
    truth.save(tmp_path / "2.npz", dict(reversed(arrays.items())), HEADER)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    found = truth.load(tmp_path / "1.npz")
    assert same_arrays(found.arrays(), arrays)
    assert found.header == HEADER | {
        "format": "dima_jax.truth",
        "version": 1,
        "has": list(GROUPS),
        "token_hash": truth.token_hash(arrays["tokens"]),
        "content_hash": npz_file.content_hash(arrays),
    }


def test_paths_alone_are_a_truth(tmp_path, arrays):
    keys = ("tokens", "scene", "scene_names", *GROUPS["masks"], *GROUPS["paths"])
    truth.save(tmp_path / "a.npz", {key: arrays[key] for key in keys}, HEADER)
    found = truth.load(tmp_path / "a.npz")
    assert found.header["has"] == ["masks", "paths"] and found.boxes is None and found.has("paths")
    assert not found.has("paths", "agents")


def test_the_token_hash_is_that_of_the_set_of_frames():
    assert truth.token_hash(["b", "a"]) == truth.token_hash(np.array(["a", "b"]))
    assert truth.token_hash(["a", "b"]) != truth.token_hash(["a", "c"])
    assert truth.token_hash(["b", "a"]) == hashlib.sha256(b"a\nb").hexdigest()[:16]


def at(array, where, value):
    array = array.copy()
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("key", "change", "why"),
    [
        ("path", lambda a: a.astype(np.float64), "path is float64 .*, not Float32"),
        ("path", lambda a: a[:, :5], "path is float32 .6, 5, 2., not Float32"),
        ("path_mask", lambda a: a[:-1], "path_mask is bool"),
        ("boxes", lambda a: a[:-1], "category is int16"),
        ("agent_start", lambda a: a[:-1], "agent_start is int64"),
        ("agent_start", lambda a: at(a, -1, a[-1] - 1), "agent_start does not divide 48 rows among 6 items"),
        ("agent_start", lambda a: at(a, 1, a[2] + 1), "agent_start does not divide"),
        ("agent_start", lambda a: at(a, 0, 1), "agent_start does not divide"),
        ("curb_start", lambda a: at(a, -1, a[-1] - 1), "curb_start does not divide 12 rows among 6 items"),
        ("curb_vertices", lambda a: a[:-1], "curb_vertex_start does not divide 479 rows among 12 items"),
        ("center_successors", lambda a: at(a, 0, 99), "center_successors has a number outside of 0 to 7"),
        ("category", lambda a: at(a, 0, 32), "category has a number outside of 0 to 31"),
        ("attribute", lambda a: at(a, 0, -2), "attribute has a number outside of -1 to 7"),
        ("scene", lambda a: at(a, 0, 2), "scene has a number outside of 0 to 1"),
        ("scene", lambda a: a[::-1].copy(), "scene, frame_index are not in order"),
        ("frame_index", lambda a: at(a, 1, 0), "scene, frame_index are not in order"),
        ("tokens", lambda a: at(a, 1, a[0]), "tokens has '.*' twice"),
        ("tokens", lambda a: np.arange(len(a)), "tokens is int64"),
        ("tags", lambda a: a[:1], "tags is bool"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_key(tmp_path, arrays, key, change, why):
    changed = arrays | {key: change(arrays[key])}
    with pytest.raises(ValueError, match=f"^({why})"):
        truth.save(tmp_path / "a.npz", changed, HEADER)
    assert not list(tmp_path.iterdir())
    npz_file.write(
        tmp_path / "a.npz", changed, HEADER | {"format": truth.FORMAT, "version": 1, "token_hash": "", "has": []}
    )
    with pytest.raises(UserError, match=rf"a\.npz: ({why}).*; make the file again$") as caught:
        truth.load(tmp_path / "a.npz")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("without", "why"),
    [
        (("scene",), "scene is missing"),
        (("boxes",), "agent_start is missing or not known, or others of its group"),
        (GROUPS["agents"], "instance is of no use without agent_start"),
        (GROUPS["areas"], "light_start is of no use without area_layer"),
    ],
)
def test_groups_are_whole(arrays, without, why):
    with pytest.raises(ValueError, match=why):
        truth.check({key: array for key, array in arrays.items() if key not in without})


def test_an_unknown_key_is_refused(arrays):
    with pytest.raises(ValueError, match=r"^aaa is missing or not known"):
        truth.check(arrays | {"aaa": np.zeros(3)})


def test_no_frames_are_refused(arrays):
    nothing = {"tokens": arrays["tokens"][:0], "scene": arrays["scene"][:0], "scene_names": arrays["scene_names"]}
    with pytest.raises(ValueError, match="tokens is empty"):
        truth.check(nothing)


def test_a_header_that_lacks_something_is_refused(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"the header lacks \['commit'\]"):
        truth.save(tmp_path / "a.npz", arrays, {key: value for key, value in HEADER.items() if key != "commit"})
    npz_file.write(tmp_path / "a.npz", arrays, HEADER | {"format": truth.FORMAT, "version": 1})
    with pytest.raises(UserError, match="the header lacks has, token_hash; make the file again"):
        truth.load(tmp_path / "a.npz")


def test_foreign_and_newer_files_are_refused(tmp_path, arrays):
    file = tmp_path / "a.npz"
    npz_file.write(file, arrays, HEADER | {"format": "dima_jax.predictions", "version": 1})
    with pytest.raises(UserError, match=r"'dima_jax\.predictions'; give a file of the format dima_jax\.truth"):
        truth.load(file)
    npz_file.write(file, arrays, HEADER | {"format": truth.FORMAT, "version": truth.VERSION + 1})
    with pytest.raises(UserError, match=r"is of version 2 .* update dima_jax"):
        truth.load(file)


def test_damage_is_refused_or_does_not_matter(tmp_path, arrays):
    file = tmp_path / "a.npz"
    truth.save(file, arrays, HEADER)

    def read(content: bytes) -> bool:
        file.write_bytes(content)
        return same_arrays(truth.load(file).arrays(), arrays)

    assert survey(file.read_bytes(), read, 150, seed=2)["refused"] > 100


def test_made_is_what_is_read_of_what_is_written(tmp_path):
    fake = fake_truth(scenes=2, frames=3, agents=2)
    header = {key: fake.header[key] for key in truth.GIVEN}
    made = truth.made(fake.arrays(), header)
    truth.save(tmp_path / "t.npz", fake.arrays(), header)
    read = truth.load(tmp_path / "t.npz")
    assert made.header == read.header
    np.testing.assert_equal(made.arrays(), read.arrays())
