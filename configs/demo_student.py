"""The demo's student alone, before the teacher joins (stages 1 and 2 in one): no teacher is built.

python -m dima_jax.train --config=configs/demo_student.py --workdir=runs/demo_student
"""

from dima_jax.configs import demo


def get_config():
    config = demo.get_config()
    config.teacher.enabled = False
    config.data.future = 0
    config.optim.warmup_steps = 50
    config.optim.groups = (
        ("student/image_encoder/.*/(mean|var)", 0.0),
        (".*", 1.0),
    )
    config.train.epochs = 5
    config.train.init_from = ""
    return config
