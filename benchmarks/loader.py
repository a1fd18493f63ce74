"""Images a second of the training reader beside a bare OpenCV decode of the same files, in turns of one run.

    python -m benchmarks.loader --config=configs/base.py --config.data.cache_gib=2 --turns=5
    python -m benchmarks.loader --config.data.path=data/miniworld/records --config.data.cache_gib=2 --images=FOLDER

The first scenes of the training split, their images at full size. --images: JPEG files as large as the config wants them,
which take the place of the images by turns, so that records of any data set will do. They are written to temporary records,
once as they are and once at `data.image_scale`; from both the reader makes windows in three ways:

* one_by_one: every frame is decoded for every window, as where all of a large data set is mixed (`data.shuffle_scenes=0`);
* scenes_together: a frame stays decoded while its scenes are read (`data.shuffle_scenes`), one whole epoch of them, for
  which `data.cache_gib` must suffice;
* the first batch from some place on, as after a resume, in seconds.

JSON on stdout: medians, and `of_bare_decode`: the median of a turn's ratio, by the clock and by the processor's time, which
are the same on a machine with nothing else to do. Bare decode: as many threads, nothing but `cv2.imdecode` of the full-size
files.
"""

import itertools
import math
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from absl import flags

from benchmarks import measure
from dima_jax import cli
from dima_jax.errors import UserError

CONFIG = cli.define_config("configs/base.py")
TURNS = flags.DEFINE_integer("turns", 5, "Turns.", lower_bound=1)
SCENES = flags.DEFINE_integer("scenes", 2, "Scenes.", lower_bound=1)
IMAGES = flags.DEFINE_string("images", "", "Folder of JPEG files in place of the records' images.")
SPLIT = "train"


def frames(config, files: list[bytes]):
    """Key frames of the first scenes, with these files as their images if there are any."""
    import numpy as np

    from data_prep import jpeg
    from dima_jax.data import cameras
    from dima_jax.data.records import Records

    source = Records(config.data.path, config.data.train_split)
    if source.image_scale != 1.0:
        raise UserError(
            f"{source.folder}: images at scale {source.image_scale}; give records built without --image_scale"
        )
    chosen = list(dict.fromkeys(source.scenes))[: SCENES.value]
    replaced = itertools.cycle(files)
    for i in range(len(source)):
        if source.scenes[i] in chosen:
            frame = source.decode(i)
            frame["cameras"] = cameras.choose(frame["cameras"], config.data.cameras, str(source.folder))
            if files:
                frame["cameras"]["images"] = [next(replaced) for _ in config.data.cameras]
                frame["cameras"]["sizes"] = np.array([jpeg.shape(data) for data in frame["cameras"]["images"]])
            yield frame


def write(folder: Path, every: list[dict], scale: float) -> None:
    """Records of these key frames, their images at `scale`."""
    from data_prep import builder, scaled_images, shards
    from dima_jax.data import records

    folder.mkdir()
    path = folder / records.shard_name(SPLIT, 0, 1)
    if scale != 1.0:
        every = [frame | {"cameras": scaled_images.scaled(frame["cameras"], scale)} for frame in every]
    shards.write_frames(path, every, "benchmark", scale)
    tokens = tuple(dict.fromkeys(frame["scene"]["token"] for frame in every))
    builder.write_metadata(folder, {SPLIT: [shards.Shard(str(path), tokens, len(every))]})


class Rates(NamedTuple):
    """Images a second, and images for each second of the processor: other programs do not change the latter much."""

    by_clock: float
    by_processor: float

    @classmethod
    def of(cls, images: int, start: tuple[float, float]) -> "Rates":
        return cls(*(images / (now - then) for now, then in zip(clocks(), start, strict=True)))


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def decode(files: list[bytes], threads: int) -> Rates:
    """OpenCV alone."""
    import cv2
    import numpy as np

    start = clocks()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape, files):
            pass
    return Rates.of(len(files), start)


def read(config, batches: int, skipped: int = 0) -> Rates:
    """So many batches, after some that are not counted: while these are made, threads start."""
    from dima_jax.data import loader

    start = clocks()
    with closing(loader.train_batches(config)) as reader:
        for _ in range(skipped):
            next(reader)
            start = clocks()
        images = sum(math.prod(next(reader).images.shape[:3]) for _ in range(batches))
        return Rates.of(images, start)


def first_batch(config, position: int) -> float:
    """Seconds from the call to the first batch."""
    from dima_jax.data import loader

    start = time.perf_counter()
    with closing(loader.train_batches(config, position)) as batches:
        next(batches)
        return time.perf_counter() - start


def turn(config, folders: dict[str, Path], files: list[bytes], total: int) -> tuple[dict, dict]:
    """One figure of each: ({name: Rates}, {name: seconds to the first batch})."""
    rates, seconds = {"bare_decode": decode(files, config.data.workers)}, {}
    memory = config.data.cache_gib
    for name, folder in folders.items():
        config.data.update(path=str(folder), cache_gib=0.0, shuffle_scenes=0)
        rates[f"{name}.one_by_one"] = read(config, 2, skipped=1)
        seconds[name] = first_batch(config, 5 * config.data.batch_size)
        config.data.update(cache_gib=memory, shuffle_scenes=SCENES.value)
        rates[f"{name}.scenes_together"] = read(config, math.ceil(total / config.data.batch_size))
    config.data.cache_gib = memory
    return rates, seconds


def of_bare_decode(name: str, turns: tuple[dict[str, Rates], ...], clock: int) -> float:
    return statistics.median(rates[name][clock] / rates["bare_decode"][clock] for rates in turns)


def main() -> None:
    import cv2

    config = CONFIG.value
    config.data.train_split, scale = SPLIT, config.data.image_scale
    cv2.setNumThreads(1)
    files = [path.read_bytes() for path in sorted(Path(IMAGES.value).glob("*.jpg"))] if IMAGES.value else []
    if IMAGES.value and not files:
        raise UserError(f"--images={IMAGES.value}: no *.jpg in that folder; give one that has some")
    with tempfile.TemporaryDirectory() as folder:
        every = list(frames(config, files))
        folders = {"full_size": Path(folder) / "full", "scaled": Path(folder) / "scaled"}
        for path, own in zip(folders.values(), (1.0, scale), strict=True):
            write(path, every, own)
        own = [data for frame in every[:10] for data in frame["cameras"]["images"]]
        turns = [turn(config, folders, own, len(every)) for _ in range(TURNS.value)]
    rates, seconds = zip(*turns, strict=True)
    measure.print_json(
        benchmark="loader",
        turns=TURNS.value,
        frames=len(every),
        bytes_of_an_image=sum(map(len, own)) // len(own),
        load=os.getloadavg()[0],
        images_per_second={name: statistics.median(one[name].by_clock for one in rates) for name in rates[0]},
        of_bare_decode={name: of_bare_decode(name, rates, 0) for name in rates[0]},
        of_bare_decode_by_processor={name: of_bare_decode(name, rates, 1) for name in rates[0]},
        first_batch_s={name: statistics.median(one[name] for one in seconds) for name in seconds[0]},
        peak_memory_gib=measure.peak_memory_gib(),
    )


if __name__ == "__main__":
    cli.run(main)
