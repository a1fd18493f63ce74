"""One process of a run over several: two steps of the joint step on a fixed batch, losses as JSON.

    python -m tests.process_worker DEVICES MODEL [COORDINATOR PROCESSES PROCESS]

DEVICES: of this process. MODEL: devices that share a window, the mesh's axis of that name. `tests/test_processes.py` starts it.
"""

import json
import sys

import jax


def main(devices: int, model_axis: int, coordinator: str = "", processes: int = 1, process: int = 0) -> None:
    jax.config.update("jax_num_cpu_devices", devices)
    if coordinator:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, processes, process)
    from dima_jax import optimizer, sharding
    from dima_jax.data import loader
    from dima_jax.sharded_model import ShardedModel
    from dima_jax.train_step import init_train_state, make_train_step
    from tests.mini import mini_config

    config = mini_config()
    config.data.update(batch_size=4, history=0)
    config.teacher.edit_share = 1.0
    config.teacher.llm.vocab = 260  # of which the tokenizer uses 259: a number that two devices can share
    replicas = jax.device_count() // model_axis
    config.mesh.update(data=replicas // 2 or 1, fsdp=min(2, replicas), model=model_axis)
    model, optim = ShardedModel(config), optimizer.build(config, steps_per_epoch=10)
    state, frozen = init_train_state(model, optim)
    share = config.data.batch_size // processes
    mine = jax.tree.map(lambda x: x[process * share : (process + 1) * share], loader.example(config))
    batch = sharding.place_batch(model.mesh, mine)
    step = make_train_step(model, optim)
    losses = []
    for _ in range(2):
        state, log = step(state, frozen, batch, jax.random.key(0, impl="threefry2x32"))
        losses.append({name: float(value) for name, value in log.items()})
    print(json.dumps(losses))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]), int(arguments[1]), *arguments[2:3], *map(int, arguments[3:]))
