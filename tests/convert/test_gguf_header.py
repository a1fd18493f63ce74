"""Every number of a GGUF header is held against the file before it is believed."""

import struct

import numpy as np
import pytest

from dima_jax.convert import gguf_header
from dima_jax.errors import UserError
from tests import damage
from tests.convert.llama_files import checkpoint, write_gguf


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "a.gguf", checkpoint()).read_bytes()


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def header(fields=(), tensors=(), counts=None) -> bytes:
    """fields: (name, type and value); tensors: (name, shape, type, offset)."""
    made = b"GGUF" + struct.pack("<IQQ", 3, *(counts or (len(tensors), len(fields))))
    made += b"".join(text(name) + value for name, value in fields)
    for name, shape, kind, offset in tensors:
        made += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    return made + bytes(-len(made) % 32)


def array(kind: int, length: int) -> bytes:
    return struct.pack("<IIQ", 9, kind, length)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first bytes"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (header(counts=(2**60, 0)), "a count is damaged"),
        (header(counts=(0, 2**60)), "a count is damaged"),
        (header([(b"x", array(4, 2**62))]), "a count is damaged"),
        (header([(b"x", array(8, 2**60))]), "a count is damaged"),
        (header([(b"x", array(9, 1) + array(9, 1))]), "unknown type, 9"),
        (header([(b"x", struct.pack("<IQ", 8, 2**63))]), "a count is damaged"),
        (header([(b"x", struct.pack("<I", 99))]), "unknown type, 99"),
        (header([(b"general.alignment", struct.pack("<II", 4, 24))]), "power of two"),
        (header([(b"x", b"\4\0\0\0" + bytes(4))] * 2), "twice"),
        (header(tensors=[(b"a", (8,), 0, 0), (b"a", (8,), 0, 32)]) + bytes(64), "twice"),
        (header(tensors=[(b"a", (8,), 0, 0), (b"b", (8,), 0, 0)]) + bytes(64), "a tensor begins"),
        (header(tensors=[(b"a", (8,), 0, 64)]) + bytes(96), "a tensor begins"),
        (header(tensors=[(b"a", (2**40,), 0, 0)]) + bytes(64), "its tensors end"),
        (header(tensors=[(b"a", (8,), 0, 0)]) + bytes(96), "its tensors end"),
        (header(tensors=[(b"a", (8,), 2, 0)]) + bytes(32), "blocks of 32"),
        (header(tensors=[(b"a", (8,), 77, 0)]) + bytes(32), "unknown type, 77"),
        (header(tensors=[(b"a", (1,) * 5, 0, 0)]) + bytes(32), "5 dimensions"),
        (header(tensors=[(b"\xff", (8,), 0, 0)]) + bytes(32), "utf-8"),
    ],
)
def test_what_does_not_fit_is_named(content, message, tmp_path):
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.gguf: cannot be read as GGUF .*{message}"):
        gguf_header.check(tmp_path / "a.gguf")


def test_whole_files_pass(content, tmp_path):
    file = tmp_path / "a.gguf"
    for whole in (content, header(), header(tensors=[(b"a", (5,), 0, 0)]) + bytes(20)):
        file.write_bytes(whole)
        gguf_header.check(file)
    with pytest.raises(UserError, match="no such file"):
        gguf_header.check(tmp_path / "b.gguf")


def test_damaged_headers_are_refused_or_read_as_they_were(content, tmp_path):
    """What passes is read by the package: no checksums, so names, and numbers in fields, can change unseen."""
    from gguf import GGUFReader

    file = tmp_path / "a.gguf"
    file.write_bytes(content)
    first = GGUFReader(str(file))
    expected = {tensor.name: np.array(tensor.data) for tensor in first.tensors}

    def read(copy: bytes) -> bool:
        file.unlink()  # the arrays of the one before may be mapped
        file.write_bytes(copy)
        gguf_header.check(file)
        found = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(str(file)).tensors}
        return found.keys() != expected.keys() or damage.same_arrays(found, expected)

    assert damage.survey(content, read, 100, seed=2, region=first.data_offset)["refused"] > 40
