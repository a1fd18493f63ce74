"""The first stage of `miniworld.py`: perception and prediction from random weights, on single frames, no planning loss.

    python -m dima_jax.train --config=configs/miniworld_perception.py --workdir=runs/miniworld_perception

Hardware: 2 CPU cores.
"""

from dima_jax.configs import miniworld


def get_config():
    config = miniworld.get_config()
    config.data.history = 0
    config.loss.update(plan_imitation=0.0, plan_boundary=0.0, plan_collision=0.0, plan_direction=0.0)
    config.optim.learning_rate = 3e-3
    config.optim.warmup_steps = 200
    config.train.epochs = 7
    config.train.init_from = ""
    return config
