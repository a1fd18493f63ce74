"""Event files that TensorBoard's own format describes, and a disk that is full."""

import resource

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from dima_jax.data import records
from dima_jax.errors import UserError
from dima_jax.event_file import EventFile


def events(folder):
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        found += [Event.FromString(data[place.offset : place.offset + place.bytes]) for place in records.walk(path)]
    return found


def test_every_number_is_there_at_once(tmp_path):
    with EventFile(tmp_path / "events") as file:
        file.add_scalar("loss/total", 1.5, 3)
        version, event = events(tmp_path / "events")
    assert version.file_version == "brain.Event:2" and event.wall_time > 0
    assert (event.step, event.summary.value[0].tag, event.summary.value[0].simple_value) == (3, "loss/total", 1.5)


def test_a_second_start_purges(tmp_path):
    for step in (1, 4):
        with EventFile(tmp_path, purge_step=step):
            pass
    starts = [event for event in events(tmp_path) if event.session_log.status == SessionLog.START]
    assert [event.step for event in starts] == [1, 4]


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/events.out.* cannot be written: File exists"):
        EventFile(tmp_path / "file")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with EventFile(tmp_path / "events") as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60, limits[1]))
        try:
            with pytest.raises(UserError, match="cannot be written") as error:
                for step in range(9):
                    file.add_scalar("loss/total", 1.5, step)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
