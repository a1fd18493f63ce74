"""The whole method at laptop size, on the mini world: the joint stage of `make demo`, from the shipped student.

    python -m dima_jax.train --config=configs/demo.py --workdir=runs/demo

Hardware: 2 CPU cores. Every part and every loss of `configs/base.py` is on; only sizes differ. The LLM is a tiny one
drawn from the seed and trained whole with the rest: it knows nothing but what the mini world's questions teach it.
`demo_smollm2.py` puts a pretrained one in its place. Results: see README.
"""

from dima_jax.configs import miniworld


def get_config():
    config = miniworld.get_config()
    teacher(config.teacher)
    config.auxiliary.update(image=False, bev=False, agent_groups=0)  # the student sees already
    config.data.history = 2
    config.data.future = 2
    config.data.flip = 0.0  # the questions say left and right
    config.data.batch_size = 8
    config.optim.warmup_steps = 20
    config.optim.groups = (
        ("student/image_encoder/.*/(mean|var)", 0.0),
        ("student/.*", 0.1),  # trained already
        (".*", 1.0),  # the LLM too: it has no weights worth keeping
    )
    config.loss.distill = 0.1  # a teacher this young has little to teach
    config.train.epochs = 1
    config.train.max_steps = 60
    config.train.init_from = "dima_jax/pretrained/miniworld"
    config.train.log_every = 10
    return config


def teacher(teacher):
    teacher.enabled = True
    teacher.edit_share = 0.25
    teacher.llm.layers = 4
    teacher.llm.width = 128
    teacher.llm.heads = 4
    teacher.llm.kv_heads = 2
    teacher.llm.ffn_width = 256
    teacher.llm.vocab = 259  # the byte-level tokenizer
    teacher.llm.dtype = "float32"
    teacher.llm.remat = False
    teacher.lora.rank = 8
    teacher.lora.alpha = 16.0
    teacher.adapter.layers = 1
    teacher.adapter.heads = 4
    teacher.adapter.bev_grid = (12, 6)
    teacher.adapter.agent_queries = 8
    teacher.adapter.map_queries = 8
    teacher.adapter.ego_queries = 4
