"""One writer per folder: a lock that the system takes back when its process ends, however it ends.

The lock is a POSIX record lock on a file that says who holds it. Forked children do not inherit it, so that nothing
that a killed command leaves behind keeps the folder. Network file systems hand these locks on between hosts where
their lock service runs; where there is none, the system refuses to lock, and the folder is used without one.
"""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from dima_jax.errors import UserError

_HELD = (errno.EACCES, errno.EAGAIN)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def held(file: str | Path, what: str) -> Iterator[None]:
    """Holds the lock `file` for as long as the context lasts; the file is removed at its end.

    what: is being written, e.g. "runs/demo". UserError if another process holds the lock, naming it, or if the file
    cannot be written. The file of a dead process is taken over. Not a lock between threads of one process.
    """
    file = Path(file)
    try:
        handle = _acquire(file)
    except OSError as error:
        if error.errno in _HELD:
            raise UserError(
                f"{what} is in use by {_holder(file)}; wait until it ends, stop it, or give another folder"
            ) from error
        raise UserError(f"{file}: {error.strerror}; give a folder that can be written") from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # first: who opens it from here on makes a file of its own
        os.close(handle)


def _acquire(file: Path) -> int:
    """The open, locked file with this process written into it. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(handle, file)
            if _is_still(file, handle):  # else its holder removed it between our opening and our locking it
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, file: Path) -> None:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        print(f"{file.parent}: this file system has no locks; see to it that no other command writes there")


def _is_still(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(file: Path) -> str:
    try:
        return file.read_text().strip() or "another process"
    except (OSError, ValueError):
        return "another process"
