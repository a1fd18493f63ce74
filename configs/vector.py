"""Vector mode at laptop size, on the mini world: the student is told recorded agents and lines, the rest is the method.

    python -m dima_jax.train --config=configs/vector.py --workdir=runs/vector

Hardware: 2 CPU cores. Sizes, teacher and losses of `demo.py`; no perception, so no images are read, no frames but the current one,
and none of the future BEVs of D9 (`loss.future`). What it can and cannot test: docs/evidence.md#vector-mode.
"""

from dima_jax.configs import demo


def get_config():
    config = demo.get_config()
    config.vector.update(enabled=True, agent_dropout=0.1, line_dropout=0.1, jitter=0.2, range_noise=0.02)
    config.loss.future = 0.0
    config.loss.plan_imitation = 10.0  # the plan is what is studied; agents' motions would lead otherwise
    # agent_class, agent_box, map_class and map_points match what is told with its targets; they have no gradient.
    config.loss.map_direction = 0.0
    config.data.cameras = ()  # no image is decoded
    config.data.history = 0
    config.data.future = 0
    config.data.color = 0.0
    config.data.batch_size = 32
    config.init.norm_frames = 0
    config.init.embed_scale = 1.0
    config.optim.learning_rate = 2e-3
    config.optim.warmup_steps = 50
    config.optim.groups = ((".*", 1.0),)
    config.train.epochs = 8
    config.train.max_steps = 0
    config.train.init_from = ""
    config.train.log_every = 20
    return config
