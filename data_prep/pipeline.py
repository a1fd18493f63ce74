"""Writes the shards of a build: in processes of this machine, or through any runner of Apache Beam.

Workers, wherever they are, share a folder with the command: from it they read what records are made of (`scene_store.py`), and
there they leave how many key frames are written, and the first error. So progress, and an error of one line instead of a
stack of traces, do not hang on who runs them.
"""

import json
import logging
import os
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from data_prep import scene_store, shards
from data_prep.key_frames import KeyFrames
from data_prep.scene_store import SceneStore
from data_prep.scenes import Root
from dima_jax import processes
from dima_jax.errors import UserError
from dima_jax.output_files import json_text
from dima_jax.progress import Progress

LONGEST_TEXT = 300  # characters of an error that is not ours
FOLDERS = "build.*.tmp"  # in the folder of the records, while a build is at work


class Build(NamedTuple):
    """What every worker is told. folder: shared by the workers and the command; mark: the fingerprint of the input."""

    folder: str
    dataroot: str
    version: str
    mark: str
    image_scale: float

    @property
    def store(self) -> Path:
        return Path(self.folder, "scenes.sqlite")

    @property
    def frames(self) -> Path:
        """A byte for every key frame that is written."""
        return Path(self.folder, "frames")

    @property
    def error(self) -> Path:
        """Is there when something went wrong: no worker goes on then."""
        return Path(self.folder, "error.json")


class _Stopped(Exception):
    """Another worker met an error, or the command was stopped."""


@contextmanager
def shared_folder(out: Path) -> Iterator[str]:
    """A folder in `out` for as long as a build is at work."""
    folder = tempfile.mkdtemp(prefix=FOLDERS.partition("*")[0], suffix=FOLDERS.rpartition("*")[2], dir=out)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(
    missing: Sequence[shards.Shard], build: Build, answers: dict, workers: int, runner: str, options: Sequence[str]
) -> None:
    """Writes the shards. answers: questions by sample (`qa.read`). runner: Beam's name of one, with its options; "" for
    `workers` processes. Raises the first error of a worker, as one that is printed in one line.
    """
    build.frames.touch()
    write, out = partial(write_shard, build), str(Path(build.folder).parent)
    with _progress(sum(shard.frames for shard in missing), build):
        try:
            scene_store.write(build.store, Path(build.dataroot), build.version, answers)
            if runner:
                _on_beam(write, missing, [f"--runner={runner}", *options])
            else:
                for _ in processes.as_they_end(write, missing, min(workers, len(missing)), out, _import_metadata):
                    pass
        except BaseException as error:
            _fail(build, error, runner or "a worker process")
            raise
        if build.error.exists():
            raise _error(build)


def _import_metadata() -> None:
    """Imports what writes the metadata when the records are there: seconds that the workers need not wait for."""
    import tensorflow_datasets  # noqa: F401


def write_shard(build: Build, shard: shards.Shard) -> None:
    """In a worker: writes a shard, unless something went wrong somewhere. Leaves its own error in the shared folder."""

    def on_frame() -> None:
        with build.frames.open("ab", buffering=0) as file:
            file.write(b".")
        if build.error.exists():
            raise _Stopped

    if build.error.exists():
        return
    try:
        shards.write(shard, opener(build), build.mark, on_frame, build.image_scale)
    except _Stopped:
        pass
    except Exception as error:
        _fail(build, error, shard.path)


@lru_cache(maxsize=1)
def opener(build: Build) -> Callable[[str], tuple[KeyFrames, dict]]:
    """Opens scenes of a build by their tokens; the maps stay open in a process."""
    store = SceneStore(build.store, build.dataroot, build.version)
    root = Root(build.dataroot, build.version, store.shared())

    def opened(token: str) -> tuple[KeyFrames, dict]:
        found, asked = store.scene(token)
        return KeyFrames(root.with_tables(found), found.get("scene", token)), asked

    return opened


def _on_beam(write: Callable[[shards.Shard], None], missing: Sequence[shards.Shard], options: list[str]) -> None:
    logging.getLogger().setLevel(logging.ERROR)  # importing Beam warns of unused Google libraries
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        quiet = PipelineOptions([*options, "--default_sdk_harness_log_level=ERROR"])
        with beam.Pipeline(options=quiet) as pipeline:
            _ = pipeline | beam.Create(missing) | beam.Reshuffle() | beam.Map(write)
    except Exception as error:
        raise _one_line(error, f"Beam's {' '.join(options)}") from error


def _fail(build: Build, error: BaseException, where: str) -> None:
    """Leaves the first error for the command, and stops the others. Raises the error where it cannot be left."""
    error = _one_line(error, where) if isinstance(error, Exception) else UserError("stopped")
    system = None if isinstance(error, UserError) else [error.errno, error.strerror, error.filename]
    part = build.error.with_name(f"error.{os.getpid()}.{threading.get_ident()}")
    try:
        part.write_text(json_text({"text": str(error), "system": system}))
        os.link(part, build.error)  # whole from the first moment, and only if there is none
    except FileExistsError:
        pass
    except OSError:
        raise error from None
    finally:
        with suppress(OSError):
            part.unlink()


def _error(build: Build) -> UserError | OSError:
    content = json.loads(build.error.read_text())
    return OSError(*content["system"]) if content["system"] else UserError(content["text"])


def _one_line(error: Exception, where: str) -> UserError | OSError:
    """Any error as one that `cli.run` prints in one line."""
    if isinstance(error, UserError | OSError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    text = " ".join(str(error).split())[:LONGEST_TEXT]
    return UserError(
        f"{where}: {type(error).__name__}: {text} ({place}); "
        "if `python -m data_prep.build` fails again, please report this line"
    )


@contextmanager
def _progress(total: int, build: Build) -> Iterator[None]:
    """Shows in a thread how many key frames are written."""
    done = threading.Event()
    progress = Progress(total, "key frame", name="records")

    def show() -> None:
        while not done.wait(0.2):
            progress.advance(build.frames.stat().st_size - progress.done)
        progress.advance(build.frames.stat().st_size - progress.done)

    thread, is_whole = threading.Thread(target=show), False
    thread.start()
    try:
        yield
        is_whole = True
    finally:
        done.set()
        thread.join()
        progress.close(is_whole)
