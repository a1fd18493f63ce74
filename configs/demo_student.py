"""The demo's student alone, before the teacher joins (stages 1 and 2 in one): no teacher is built.

python -m dima_jax.train --config=configs/demo_student.py --workdir=runs/demo_student
"""

from configs import demo


def get_config():
    config = demo.get_config()
    config.teacher.enabled = False
    config.data.future = 0
    config.data.batch_size = 4
    config.optim.learning_rate = 1e-3
    config.optim.warmup_steps = 50
    config.train.epochs = 3
    config.train.init_from = ""
    return config
