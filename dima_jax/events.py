"""The numbers of a run for TensorBoard, in the run's folder `events/`: every step once, however often it was started."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog

from dima_jax.data.records import FOOTER, HEADER
from dima_jax.event_file import EventFile


def open_writer(workdir: str | Path, step: int) -> EventFile:
    """A writer for what follows `step`. What a killed run logged beyond it is done again, so TensorBoard drops it."""
    return EventFile(Path(workdir) / "events", purge_step=step + 1)


def read(workdir: str | Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, value)]} of a run's events, as TensorBoard shows them; {} where nothing was logged."""
    logged: dict[str, list[tuple[int, float]]] = {}
    for file in sorted((Path(workdir) / "events").glob("*tfevents*")):
        for event in _events(file.read_bytes()):
            if event.session_log.status == SessionLog.START:
                logged = {name: [row for row in rows if row[0] < event.step] for name, rows in logged.items()}
            for value in event.summary.value:
                logged.setdefault(value.tag, []).append((event.step, value.simple_value))
    return logged


def _events(content: bytes) -> Iterator[Event]:
    """The whole events of a file; the last one may be cut off, or still being written."""
    at = 0
    while at + HEADER <= len(content):
        end = at + HEADER + struct.unpack_from("<Q", content, at)[0]
        if end + FOOTER > len(content):
            return
        yield Event.FromString(content[at + HEADER : end])
        at = end + FOOTER
