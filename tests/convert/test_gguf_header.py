"""Headers of GGUF files that were damaged: refused at once in one line, or read."""

import struct
import time

import numpy as np
import pytest

from dima_jax.convert import gguf_header
from dima_jax.convert.gguf_llama import GgufLlama
from dima_jax.errors import UserError
from tests.convert.llama_files import checkpoint, write_gguf

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "whole.gguf", checkpoint()).read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_one_line(whole, tmp_path, seed):
    rng = np.random.default_rng(seed)
    file = tmp_path / "x.gguf"
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, 3000))
            damaged[at : at + 8] = rng.choice(
                [rng.bytes(1), bytes(8), b"\xff" * 8, struct.pack("<Q", 2**60), rng.bytes(8)]
            )
        file.write_bytes(damaged[: int(rng.integers(1, len(damaged)))] if rng.random() < 0.3 else damaged)
        start = time.monotonic()
        try:
            GgufLlama(file)
        except UserError as error:
            assert "x.gguf" in str(error) and "\n" not in str(error)
        assert time.monotonic() - start < 5


def test_a_count_is_held_against_the_size_of_the_file(whole, tmp_path):
    file = tmp_path / "x.gguf"
    for at, message in ((8, "a count is damaged"), (16, "a count is damaged"), (24, "a count is damaged")):
        file.write_bytes(whole[:at] + struct.pack("<Q", 2**60) + whole[at + 8 :])
        with pytest.raises(UserError, match=rf"x\.gguf: cannot be read as GGUF \(.*{message}"):
            gguf_header.check(file)


def test_a_long_array_of_numbers_is_refused(whole, tmp_path):
    """The package would read numbers beyond the end of the file without end."""
    field = struct.pack("<Q", 1) + b"x" + struct.pack("<IIQ", 9, 0, 2**60)
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field)
    with pytest.raises(UserError, match="a count is damaged"):
        gguf_header.check(tmp_path / "x.gguf")
