"""The numbers of a run for TensorBoard, written as they come: no thread, no queue, so a full disk is one line.

tensorboardX gives the format of an event; its own writer has a thread, whose death blocks whoever logs.
"""

import os
import time
from pathlib import Path
from typing import Self

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from dima_jax.data import records
from dima_jax.errors import UserError


class EventFile:
    """A new event file in `folder`. UserError, here and from `add_scalar`, if it cannot be written.

    purge_step: TensorBoard drops what earlier files hold of this step and later ones.
    """

    def __init__(self, folder: str | Path, purge_step: int | None = None):
        self.path = Path(folder) / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise self._refusal(error) from error
        self._write(Event(file_version="brain.Event:2"))
        if purge_step is not None:
            self._write(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Writes one number."""
        self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)])))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        data = records.framed(event.SerializeToString())
        try:
            if self._file.write(data) < len(data):
                raise OSError(0, "no space for a whole event")
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> UserError:
        return UserError(f"{self.path} cannot be written: {error.strerror}; make room, or give another --workdir")
