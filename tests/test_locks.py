"""Locks between processes: refused while the holder lives, free when it ends, however it ends."""

import os
import signal

import pytest

from dima_jax import locks
from dima_jax.errors import UserError
from tests.lock_holder import held_elsewhere


def test_the_second_process_says_who_holds_it(tmp_path):
    file = tmp_path / "new" / "train.lock"
    with held_elsewhere(file) as first:
        said = rf"runs/x is in use by process {first.pid} on .*; wait"
        with pytest.raises(UserError, match=said) as error, locks.held(file, "runs/x"):
            pass
    assert "\n" not in str(error.value)
    assert first.returncode == 0 and not file.exists()
    with locks.held(file, "runs/x"):
        assert f"process {os.getpid()} " in file.read_text()
    assert not file.exists()


def test_a_killed_holder_blocks_nobody(tmp_path):
    file = tmp_path / "train.lock"
    with held_elsewhere(file) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert f"process {first.pid} " in file.read_text()
    with locks.held(file, "runs/x"):
        assert f"process {os.getpid()} " in file.read_text()


def test_an_error_frees_it(tmp_path):
    with pytest.raises(ValueError), locks.held(tmp_path / "lock", "x"):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    said = r"file/x\.lock|file: .*give a folder that can be written"
    with pytest.raises(UserError, match=said), locks.held(tmp_path / "file" / "x.lock", "x"):
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", refuse)
    with locks.held(tmp_path / "x.lock", "x"):
        pass
    assert "this file system has no locks" in capsys.readouterr().out
