r"""The privileged teacher, for students that see images: a student of vector mode that is told the agents and where they go.

    python -m dima_jax.train --config=configs/privileged.py --workdir=runs/privileged
    python -m dima_jax.cache_teacher --checkpoint=runs/privileged --config=configs/privileged.py \
        --config.data.path=data/miniworld/records --out=runs/privileged/taught
    python -m dima_jax.train --config=configs/miniworld_planning.py --workdir=runs/taught --config.data.flip=0 \
        --config.distill.cache=runs/privileged/taught --config.distill.form=feature_l2

It learns from scenes without cameras, which cost little (docs/evidence.md#run-it), so that it plans better than its pupils also
on theirs; of the second command only the records are others.
After Chen et al., "Learning by Cheating" (CoRL 2019); what it brings: docs/evidence.md. Hardware: 2 CPU cores, minutes.
"""

from dima_jax.configs import vector

LINES = {  # over those of `vector.py`
    "teacher.enabled": False,
    "vector.future": True,
    "vector.velocity": True,
    "vector.agent_dropout": 0.0,
    "vector.line_dropout": 0.0,
    "vector.jitter": 0.0,
    "vector.range_noise": 0.0,
}


def get_config():
    config = vector.get_config()
    config.update_from_flattened_dict(LINES)
    config.data.path = "data/vectors/records"
    config.train.epochs = 10
    return config
