"""Stage 2 of VAD-Base: planning joins, perception weighs less (docs/vad.md#stages). Starts from stage1.py.

    python -m dima_jax.train --config=configs/stage2.py --workdir=runs/stage2

Hardware: 8 cards or chips, one window each. Published for the result: L2 0.72 m avg, collision 0.22 % avg (stp3_vad,
nuScenes val); this implementation: not yet measured.
"""

from dima_jax.configs import base, stage1


def get_config():
    config = stage1.get_config()
    config.loss = base.loss()
    config.loss.update(agent_class=0.8, agent_box=0.1, map_class=0.8, map_points=0.4)
    config.train.epochs = 12
    config.train.init_from = "runs/stage1"
    return config
