"""VAD-Tiny, end to end (docs/vad.md#configurations): the student alone at the size of the literature.

    python -m dima_jax.train --config=configs/vad_tiny.py --workdir=runs/vad_tiny

Hardware: 8 cards or chips, one window each. Published: L2 0.78 m avg, collision 0.38 % avg (stp3_vad, nuScenes val);
this implementation: not yet measured.
"""

from dima_jax.configs import base


def get_config():
    config = base.get_config()
    tiny(config)
    config.teacher.enabled = False
    config.data.future = 0
    config.mesh.update(data=8, fsdp=1)
    config.train.epochs = 60
    return config


def tiny(config):
    config.student.update(
        out_stages=(3,),
        extra_levels=0,
        bev_shape=(100, 100),  # rotate_center stays (100, 100): docs/vad.md#q1
        encoder_layers=3,
        decoder_layers=3,
        map_decoder_layers=3,
    )
    config.data.update(history=2, image_scale=0.4, image_shape=(384, 640), valid_shape=(360, 640))
