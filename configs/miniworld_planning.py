"""The third stage of the mini world's student, after `miniworld.py`: planning counts most, the image encoder rests.

    python -m dima_jax.train --config=configs/miniworld_planning.py --workdir=runs/miniworld_planning

The speed reaches the planner through the BEV, whose gradients are perception's almost alone while imitation weighs as
little as it does in VAD. Hardware: 2 CPU cores.
"""

from dima_jax.configs import miniworld


def get_config():
    config = miniworld.get_config()
    config.auxiliary.update(image=False, bev=False, agent_groups=0)
    config.init.can_bus_frames = 512
    config.loss.plan_imitation = 10.0
    config.optim.groups = (("student/image_encoder/.*", 0.0), (".*", 1.0))
    config.train.epochs = 12
    config.train.init_from = "runs/miniworld"
    return config
