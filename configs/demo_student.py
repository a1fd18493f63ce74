"""The recipe of `miniworld.py` in one stage and on the demo's 64 scenes: what `make from-scratch` trains in about nine minutes.

    python -m dima_jax.train --config=configs/demo_student.py --workdir=runs/demo_student

Hardware: 2 CPU cores. The curve of its losses: TensorBoard events in the run's folder. Results: docs/recipe.md.
"""

from dima_jax.configs import miniworld


def get_config():
    config = miniworld.get_config()
    config.data.history = 2  # of one frame alone the speed is misread once the BEV comes from a whole drive
    config.init.can_bus_frames = 512
    config.loss.plan_imitation = 10.0
    config.optim.learning_rate = 3e-3
    config.optim.warmup_steps = 50
    config.train.epochs = 3
    config.train.init_from = ""
    return config
