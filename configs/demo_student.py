"""The recipe of `miniworld.py` for minutes instead of hours, in one stage: what `make demo` trains from random weights.

    python -m dima_jax.train --config=configs/demo_student.py --workdir=runs/demo_student
    python -m dima_jax.train --config=configs/demo_student.py --config.train.epochs=6 --workdir=runs/ten_minutes

Hardware: 2 CPU cores. The curve of its losses: TensorBoard events in the run's folder. Results: docs/recipe.md.
"""

from dima_jax.configs import miniworld


def get_config():
    config = miniworld.get_config()
    config.optim.learning_rate = 3e-3
    config.optim.warmup_steps = 50
    config.train.epochs = 1
    config.train.init_from = ""
    return config
