"""Windows per second and peak memory of one train step, every loss of the config on.

    python -m benchmarks.train_step --config=configs/demo.py [--runs=20]

Runs on random valid windows, so the reader is not in the figure. JSON on stdout.
"""

import time

from absl import flags

from benchmarks import measure
from dima_jax import cli

CONFIG = cli.define_config("configs/demo.py")
RUNS = flags.DEFINE_integer("runs", 20, "Timed steps.", lower_bound=1)


def main() -> None:
    cli.prepare_jax(CONFIG.value.mesh)
    import jax

    from dima_jax import optimizer, sharding
    from dima_jax.data import loader
    from dima_jax.sharded_model import ShardedModel
    from dima_jax.train_step import init_train_state, make_train_step

    config = CONFIG.value
    model, optim = ShardedModel(config), optimizer.build(config, steps_per_epoch=1000)
    state, frozen = init_train_state(model, optim)
    batch = sharding.place_batch(model.mesh, loader.example(config))
    step, key = make_train_step(model, optim), jax.random.key(0)
    start = time.perf_counter()
    compiled = step.lower(state, frozen, batch, key).compile()
    compile_seconds = time.perf_counter() - start

    def run():
        nonlocal state
        state, log = compiled(state, frozen, batch, key)
        jax.block_until_ready(log)

    run()
    timing = measure.seconds(run, RUNS.value)
    measure.print_json(
        benchmark="train_step",
        batch_size=config.data.batch_size,
        teacher=config.teacher.enabled,
        windows_per_second=config.data.batch_size / timing["median_s"],
        compile_s=compile_seconds,
        peak_memory_gib=measure.peak_memory_gib(),
        compiled_memory_gib=measure.compiled_memory_gib(compiled),
        **measure.device(),
        **timing,
    )


if __name__ == "__main__":
    cli.run(main)
