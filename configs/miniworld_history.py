"""The last stage of the mini world's student, after `miniworld_planning.py`: drives of up to eight frames before.

    python -m dima_jax.train --config=configs/miniworld_history.py --workdir=runs/miniworld_history

In evaluation the previous BEV comes from a whole drive, and the first frame has none. A student that has learned from
windows of one length alone misreads either, its own speed above all. Hardware: a GPU, or 2 CPU cores and three hours.
"""

from dima_jax.configs import miniworld_planning


def get_config():
    config = miniworld_planning.get_config()
    config.data.history = 8
    config.init.can_bus_frames = 0
    config.optim.learning_rate = 1e-3
    config.train.epochs = 10
    config.train.init_from = "runs/miniworld_planning"
    return config
