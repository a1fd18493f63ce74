"""The last stage of the mini world's student, after `miniworld_planning.py`: three frames before the current one.

    python -m dima_jax.train --config=configs/miniworld_history.py --workdir=runs/miniworld_history

In evaluation the previous BEV comes from a whole drive. A student that has learned from the BEV of a single frame alone
misreads it, its own speed above all. Hardware: 2 CPU cores.
"""

from dima_jax.configs import miniworld_planning


def get_config():
    config = miniworld_planning.get_config()
    config.data.history = 3
    config.init.can_bus_frames = 0
    config.optim.learning_rate = 1e-3
    config.train.epochs = 3
    config.train.init_from = "runs/miniworld_planning"
    return config
