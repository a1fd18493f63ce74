"""The command's own parsing."""

import re
import subprocess
import sys

import pytest

from data_prep.miniworld import __main__ as command
from dima_jax.errors import UserError


@pytest.mark.parametrize("text", ["400", "400x", "ax224", "8x8", "400x224x3"])
def test_bad_size_is_one_clear_line(text):
    with pytest.raises(UserError, match=re.escape(f"--size={text}: give width x height")):
        command.parse_size(text)


def test_errors_are_one_line_and_logged_beside_the_folder(tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "letters.txt").write_text("dear")
    command = [sys.executable, "-m", "data_prep.miniworld", f"--out={tmp_path / 'world'}"]
    failed = subprocess.run(command, capture_output=True, text=True)
    expected = f"error: {tmp_path / 'world'}: not empty and not a mini world; give a new folder as --out\n"
    assert (failed.returncode, failed.stderr) == (2, expected)
    assert expected in (tmp_path / "world.log").read_text()
    assert [path.name for path in (tmp_path / "world").iterdir()] == ["letters.txt"]
