"""Pickles of plain values and arrays are read as Python reads them; anything else is refused or only named."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from dima_jax.convert import torch_pickle
from dima_jax.errors import UserError
from dima_jax.scoring import pickles
from tests.damage import damaged


def plain():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(1, 6, 2))
    return OrderedDict(
        a=shared,
        again=[shared, (shared, 1.5, None, "text", b"bytes")],
        floats=rng.normal(size=(6, 3)).astype(">f4"),
        turned=np.asfortranarray(rng.normal(size=(3, 4))),
        mask=rng.random(6) > 0.5,
        texts=np.array(["token", "ä"]),
        empty=np.zeros((0, 2)),
        scalar=np.float32(0.25),
        nested={"b": {"c": [np.arange(3)]}},
    )


def same(found, expected) -> None:
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        [same(found[key], value) for key, value in expected.items()]
    elif isinstance(expected, (list, tuple)):
        assert type(found) is type(expected) and len(found) == len(expected)
        [same(one, other) for one, other in zip(found, expected, strict=True)]
    else:
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("core", ["numpy._core", "numpy.core"])
def test_plain_values_and_arrays(tmp_path, protocol, core):
    file = tmp_path / "a.pkl"
    content = pickle.dumps(plain(), protocol)
    if protocol < 4:  # names are lines, so that of an older numpy fits as well
        content = content.replace(b"cnumpy._core.", f"c{core}.".encode())
    file.write_bytes(content)
    found = pickles.read(file)
    same(found, dict(plain()))
    assert found["again"][0] is found["a"]


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


def test_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.pkl").write_bytes(pickle.dumps({"x": Hostile()}))
    assert isinstance(pickles.read("a.pkl")["x"], torch_pickle.Foreign) and not Path("touched").exists()


def cycle():
    result = []
    result.append(result)
    return result


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.array([None, {}], object), "an array of 'O8'"),
        (np.zeros(2, [("x", "f4")]), "an array of 'V4'"),
        (cycle(), "more than 50 containers"),
    ],
)
def test_what_is_not_plain_is_refused_in_one_line(tmp_path, value, why):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(value))
    with pytest.raises(UserError, match=rf"^[^\n]*a\.pkl is no pickle of plain values[^\n]*{why}[^\n]*$"):
        pickles.read(file)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no\.pkl: No such file or directory; give a pickle file"):
        pickles.read(tmp_path / "no.pkl")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(plain()))
    monkeypatch.setattr(pickles, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="is larger than"):
        pickles.read(tmp_path / "a.pkl")


def test_steps_are_counted(tmp_path, monkeypatch):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(list(range(300))))
    monkeypatch.setattr(pickles, "MOST_STEPS", 310)
    assert pickles.read(file) == list(range(300))
    monkeypatch.setattr(pickles, "MOST_STEPS", 290)
    with pytest.raises(UserError, match="more than 290 steps"):
        pickles.read(file)


@pytest.mark.parametrize("protocol", [2, 5])
def test_damage_is_refused_in_one_line_or_read(tmp_path, protocol):
    """A pickle has no checksum: numbers may change unseen, but nothing else may happen."""
    file, rng, refused = tmp_path / "a.pkl", np.random.default_rng(protocol), 0
    content = pickle.dumps(dict(plain()), protocol)
    for _ in range(400):
        file.write_bytes(damaged(content, rng))
        try:
            pickles.read(file)
        except UserError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 100


TORCH = Path(__file__).parent / "torch_files" / "results.pkl"


def test_tensors_become_arrays():
    found, whole = pickles.read(TORCH), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert isinstance(found["brain"], torch_pickle.Foreign) and "BFloat16" in found.pop("brain").name
    same(
        found,
        dict(
            first=whole[:1],
            turned=whole.transpose(2, 0, 1)[1],
            half=np.array([0.5, -2.0], np.float16),
            count=np.array(7),
            empty=np.zeros((0, 3), np.float32),
            same=np.ones(3, np.float32),
            flags=np.array([True, False]),
        ),
    )


def test_damaged_tensors_are_refused_in_one_line_or_read(tmp_path):
    file, rng, refused = tmp_path / "a.pkl", np.random.default_rng(1), 0
    for _ in range(400):
        file.write_bytes(damaged(TORCH.read_bytes(), rng))
        try:
            pickles.read(file)
        except UserError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 100


def first_storage() -> bytes:
    taken = []

    class Taker(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "_load_from_bytes":
                return taken.append
            return super().find_class(module, name) if module == "_codecs" else lambda *_: None

    with TORCH.open("rb") as file:
        Taker(file).load()
    return taken[0]


class Claim:
    """Pickles as a call of a function with arguments, whatever they are."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments

    def __reduce__(self):
        return self.name, self.arguments


def _rebuild_tensor_v2(*_):
    """Named as torch's, below."""


def _load_from_bytes(*_):
    """Named as torch's, below."""


@pytest.mark.parametrize(
    ("data", "view", "why"),
    [
        (((1, 2), 3), (0, (1,), (1,)), "a storage that is no bytes"),
        (b"", (0, (1,), (1,)), "1 bytes wanted"),
        (b"\x80\x02K\x01.", (0, (1,), (1,)), "not those of torch.save"),
        ("real", (0, (2**40,), (0,)), "shape is none"),
        ("real", (0, (2**20, 2**20), (0, 0)), "beyond its storage"),
        ("real", (22, (3,), (1,)), "beyond its storage"),
        ("real", (-1, (3,), (1,)), "shape is none"),
        ("real", (0, (3, 3), (1,)), "shape is none"),
    ],
)
def test_tensors_that_cannot_be_are_refused(tmp_path, data, view, why):
    if data == "real":
        data = first_storage()
    made = pickle.dumps(Claim(_rebuild_tensor_v2, Claim(_load_from_bytes, data), *view), 2)
    own = b"c" + __name__.encode()
    made = made.replace(own + b"\n_rebuild", b"ctorch._utils\n_rebuild").replace(
        own + b"\n_load", b"ctorch.storage\n_load"
    )
    (tmp_path / "a.pkl").write_bytes(made)
    with pytest.raises(UserError, match=rf"a\.pkl is no pickle .*{why}"):
        pickles.read(tmp_path / "a.pkl")
