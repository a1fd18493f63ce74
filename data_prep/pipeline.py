"""The Beam pipeline that writes shards, with its progress and one error instead of Beam's stack traces."""

import threading

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from data_prep import shards
from dima_jax.progress import Progress


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

    def __init__(self, dataroot: str, version: str, drivelm: str, mark: str):
        self.dataroot, self.version, self.drivelm, self.mark = dataroot, version, drivelm, mark

    def process(self, shard: shards.Shard):
        if _outcome.errors:
            return
        try:
            root, answers = shards.opened(self.dataroot, self.version), shards.questions(self.drivelm)
            shards.write(shard, root, answers, self.mark, _outcome.add_frame)
        except BaseException as error:
            _outcome.errors.append(error)


def run(missing: list[shards.Shard], write: WriteShard, workers: int) -> None:
    """Writes the shards with `workers` threads. Raises the first error of a worker."""
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
    except BaseException as error:
        _outcome.errors.append(error)  # no worker begins another shard
        raise
    finally:
        done.set()
        bar.join()
    if _outcome.errors:
        raise _outcome.errors[0]


def _show_progress(total: int, done: threading.Event) -> None:
    progress = Progress(total, "key frame", name="records")
    while not done.wait(0.2):
        progress.advance(_outcome.frames - progress.done)
    progress.advance(_outcome.frames - progress.done)
    progress.close(is_whole=not _outcome.errors)
