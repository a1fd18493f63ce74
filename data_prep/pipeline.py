"""The Beam pipeline that writes shards, with its progress and one error instead of Beam's stack traces."""

import threading
import traceback
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from data_prep import shards
from dima_jax.errors import UserError
from dima_jax.progress import Progress

LONGEST_TEXT = 300  # characters of an error that is not ours


class Outcome:
    """Progress of the threads of this process: key frames written, and errors."""

    def __init__(self):
        self.frames = 0
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()

    def add_frame(self) -> None:
        with self._lock:
            self.frames += 1


_outcome = Outcome()


class WriteShard(beam.DoFn):
    """Shard -> nothing; writes the shard and its sidecar. After the first error no further shard is written.

    Workers are threads of this process and share the opened data set. Errors are collected in `_outcome`, as Beam would
    wrap a raised one, a full disk or an interrupt included, into long stack traces.
    """

    def __init__(self, dataroot: str, version: str, drivelm: str, mark: str, image_scale: float = 1.0):
        self.dataroot, self.version, self.drivelm, self.mark = dataroot, version, drivelm, mark
        self.image_scale = image_scale

    def process(self, shard: shards.Shard):
        if _outcome.errors:
            return
        try:
            root, answers = shards.opened(self.dataroot, self.version), shards.questions(self.drivelm)
            shards.write(shard, root, answers, self.mark, _outcome.add_frame, self.image_scale)
        except Exception as error:
            _outcome.errors.append(_one_line(error, shard.path))
        except BaseException as error:
            _outcome.errors.append(error)


def run(missing: list[shards.Shard], write: WriteShard, workers: int) -> None:
    """Writes the shards with `workers` threads. Raises the first error of a worker, as one that is printed in one line."""
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
    except BaseException as error:
        _outcome.errors.append(error)  # no worker begins another shard
        raise
    finally:
        done.set()
        bar.join()
    if _outcome.errors:
        raise _outcome.errors[0]


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


def _show_progress(total: int, done: threading.Event) -> None:
    progress = Progress(total, "key frame", name="records")
    while not done.wait(0.2):
        progress.advance(_outcome.frames - progress.done)
    progress.advance(_outcome.frames - progress.done)
    progress.close(is_whole=not _outcome.errors)
