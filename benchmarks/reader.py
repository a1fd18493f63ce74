"""Windows per second of the training reader, with frames decoded anew and from memory.

    python -m benchmarks.reader --config=configs/demo.py [--config.data.path=DIR] [--batches=20]

JSON on stdout: the first epoch's figure (every frame decoded) and that of a later one (frames that fit stay in memory).
"""

import itertools
import time

from absl import flags

from benchmarks import measure
from dima_jax import cli

CONFIG = cli.define_config("configs/demo.py")
BATCHES = flags.DEFINE_integer("batches", 20, "Timed batches.", lower_bound=1)


def windows_per_second(batches, config) -> float:
    start = time.perf_counter()
    count = sum(1 for _ in itertools.islice(batches, BATCHES.value))
    return count * config.data.batch_size / (time.perf_counter() - start)


def main() -> None:
    from dima_jax.data import loader

    config = CONFIG.value
    memory, config.data.cache_gib = config.data.cache_gib, 0.0
    decoding = windows_per_second(loader.train_batches(config), config)
    config.data.cache_gib = memory
    batches = loader.train_batches(config)
    for _ in range(-(-loader.num_train_windows(config) // config.data.batch_size)):
        next(batches)
    measure.print_json(
        benchmark="reader",
        windows_per_second_decoding=decoding,
        windows_per_second_from_memory=windows_per_second(batches, config),
        peak_memory_gib=measure.peak_memory_gib(),
    )


if __name__ == "__main__":
    cli.run(main)
