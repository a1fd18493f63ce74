"""Plain objects come out as Python's own unpickler gives them; everything else is a name."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest

from dima_jax.convert import torch_pickle

PLAIN = {
    "numbers": [0, -1, 255, 65536, -(2**70), 2**2000, 1.5, True, None],
    "texts": ("", "a", "ä" * 300, b"bytes", b"b" * 300),
    "nested": {"a": [{"b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))}]},
    3: "an int as a key",
}


def load(content: bytes):
    known = {("collections", "OrderedDict"): torch_pickle.as_dict, ("_codecs", "encode"): str.encode}
    return torch_pickle.load(content, 0, known, lambda identity: identity)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_objects_of_every_protocol(protocol):
    shared = ["twice"]
    content = pickle.dumps([PLAIN, OrderedDict(a=1, b=2), shared, shared], protocol)
    (plain, ordered, first, second), end = load(content + b"more")
    assert plain == PLAIN and ordered == {"a": 1, "b": 2} and first is second and end == len(content)


def test_what_is_not_known_becomes_its_name():
    found, _ = load(pickle.dumps({"path": Path("x"), "set": {1}, "key": {(1, 2): 3}}, 4))
    assert found["path"].name == "pathlib.PosixPath" and isinstance(found["set"], torch_pickle.Foreign)
    ((key, value),) = found["key"].items()
    assert isinstance(key, torch_pickle.Foreign) and value == 3
    name, _ = load(b"\x8c\x01a\x8c\x03b\nc\x93.")
    assert name.name == "a.b?c"


@pytest.mark.parametrize("opcode", [b"\x8e", b"\x96", b"\x8d"])
@pytest.mark.parametrize("length", [4, 2**60, 2**64 - 1])
def test_a_length_beyond_the_file_is_refused(opcode, length):
    with pytest.raises(ValueError, match=rf"^{length} bytes wanted at byte 9 of 12"):
        load(opcode + length.to_bytes(8, "little") + b"abc")
