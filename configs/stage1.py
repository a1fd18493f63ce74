"""Stage 1 of VAD-Base: perception and prediction, no planning loss (docs/vad.md#stages), before stage2.py.

    python -m dima_jax.train --config=configs/stage1.py --workdir=runs/stage1

Hardware: 8 cards or chips, one window each. Expected numbers: not yet measured.
"""

from dima_jax.configs import base


def get_config():
    config = base.get_config()
    config.teacher.enabled = False
    config.data.future = 0
    config.mesh.update(data=8, fsdp=1)
    config.loss.update(plan_imitation=0.0, plan_boundary=0.0, plan_collision=0.0, plan_direction=0.0)
    config.train.epochs = 48
    return config
