"""The whole method at laptop size, on the mini world: what `make demo` trains after `configs/demo_student.py`.

    python -m dima_jax.train --config=configs/demo.py --workdir=runs/demo

Hardware: 2 CPU cores. Every part and every loss of `configs/base.py` is on; only sizes differ. Results: see README.
"""

from dima_jax.configs import base


def get_config():
    config = base.get_config()
    student(config.student)
    teacher(config.teacher)

    config.data.path = "data/miniworld/records"
    config.data.history = 1
    config.data.image_scale = 0.4  # of 400x224
    config.data.image_shape = (96, 160)
    config.data.valid_shape = (90, 160)
    config.data.max_agents = 24
    config.data.max_map = 24
    config.data.max_text = 128
    config.data.photometric = False
    config.data.grid_mask = 0.0
    config.data.batch_size = 4
    config.data.workers = 2

    config.optim.learning_rate = 1e-3
    config.optim.warmup_steps = 20
    config.optim.groups = (  # from scratch: the backbone trains whole, its norms' statistics stay 0 and 1
        ("teacher/llm/.*", 0.0),
        ("student/image_encoder/.*/(mean|var)", 0.0),
        ("student/.*", 0.1),  # trained already
        (".*", 1.0),
    )
    config.loss.distill = 0.1  # a teacher this young has little to teach
    config.mesh.fsdp = 1
    config.train.epochs = 1
    config.train.init_from = "runs/demo_student"
    config.train.backbone = ""
    config.train.log_every = 10
    config.train.save_every = 200
    return config


def student(student):
    student.stage_blocks = (1, 1, 1)
    student.stage_width = 16
    student.out_stages = (2,)
    student.extra_levels = 0
    student.level_embeds = 1
    student.width = 64
    student.ffn_width = 128
    student.num_heads = 4
    student.dropout = 0.0
    student.bev_shape = (20, 10)
    student.rotate_center = (5, 10)
    student.encoder_layers = 1
    student.decoder_layers = 2
    student.map_decoder_layers = 2
    student.num_agents = 24
    student.num_map = 24
    student.num_points = 10
    student.num_modes = 3


def teacher(teacher):
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
    teacher.adapter.bev_grid = (10, 5)
    teacher.adapter.agent_queries = 8
    teacher.adapter.map_queries = 8
    teacher.adapter.ego_queries = 4
