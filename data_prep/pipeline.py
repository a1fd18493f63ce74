"""The Beam pipeline that writes shards, with a progress bar and one error instead of Beam's stack traces."""

import threading
import traceback
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep import shards
from dima_jax.errors import UserError

LONGEST_TEXT = 300  # characters of an error that is not ours


class Outcome:
    """Progress of the threads of this process: key frames written, and errors."""

    def __init__(self):
        self.frames = 0
        self.errors: list[UserError] = []
        self._lock = threading.Lock()

    def add_frame(self) -> None:
        with self._lock:
            self.frames += 1


_outcome = Outcome()


class WriteShard(beam.DoFn):
    """Shard -> nothing; writes the shard and its sidecar. After the first error no further shard is written.

    Workers are threads of this process and share the opened data set. Errors are collected in `_outcome`, as Beam would
    wrap a raised one into a long stack trace.
    """

    def __init__(self, dataroot: str, version: str, drivelm: str, mark: str):
        self.dataroot, self.version, self.drivelm, self.mark = dataroot, version, drivelm, mark

    def process(self, shard: shards.Shard):
        if _outcome.errors:
            return
        try:
            root, answers = shards.opened(self.dataroot, self.version), shards.questions(self.drivelm)
            shards.write(shard, root, answers, self.mark, _outcome.add_frame)
        except Exception as error:
            _outcome.errors.append(_one_line(error, shard.path))


def run(missing: list[shards.Shard], write: WriteShard, workers: int) -> None:
    """Writes the shards with `workers` threads. Raises the first error of a worker, always as UserError."""
    global _outcome
    _outcome = Outcome()
    mode = "multi_threading" if workers > 1 else "in_memory"
    options = PipelineOptions([f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"])
    done = threading.Event()
    bar = threading.Thread(target=_show_progress, args=(sum(shard.frames for shard in missing), done))
    bar.start()
    try:
        with beam.Pipeline(options=options) as pipeline:
            _ = pipeline | beam.Create(missing) | beam.Reshuffle() | beam.ParDo(write)
    except Exception as error:  # of Beam itself
        _outcome.errors.append(_one_line(error, "Beam"))
    finally:
        done.set()
        bar.join()
    if _outcome.errors:
        raise _outcome.errors[0]


def _one_line(error: Exception, where: str) -> UserError:
    """Any error as one that is printed in one line."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.strerror:
        return UserError(
            f"{error.filename or where}: {error.strerror}; the build goes on where it stopped when started again"
        )
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    text = " ".join(str(error).split())[:LONGEST_TEXT]
    return UserError(
        f"{where}: {type(error).__name__}: {text} ({place}); "
        "if `python -m data_prep.build` fails again, please report this line"
    )


def _show_progress(total: int, done: threading.Event) -> None:
    columns = (TextColumn("key frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=total)
        while not done.wait(0.2):
            progress.update(task, completed=_outcome.frames)
        progress.update(task, completed=_outcome.frames)
