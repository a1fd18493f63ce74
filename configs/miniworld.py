"""A student that sees, from random weights: the second stage of the student in `dima_jax/pretrained/miniworld`.

    python -m data_prep.miniworld --out=data/miniworld --scenes=192 --val_scenes=30
    python -m data_prep.build --dataroot=data/miniworld --version=v1.0-miniworld --drivelm=data/miniworld/drivelm.json --out=data/miniworld/records
    python -m dima_jax.train --config=configs/miniworld_perception.py --workdir=runs/miniworld_perception
    python -m dima_jax.train --config=configs/miniworld.py --workdir=runs/miniworld
    python -m dima_jax.train --config=configs/miniworld_planning.py --workdir=runs/miniworld_planning
    python -m dima_jax.train --config=configs/miniworld_history.py --workdir=runs/miniworld_history

Hardware: 2 CPU cores. Perception first (`miniworld_perception.py`), then everything, which is this config, then planning
above all (`miniworld_planning.py`), at last with a longer history (`miniworld_history.py`). Ingredients and results:
docs/recipe.md.
"""

from dima_jax.configs import base


def get_config():
    config = base.get_config()
    student(config.student)
    config.teacher.enabled = False

    config.data.path = "data/miniworld/records"
    config.data.history = 1
    config.data.random_start = True  # as evaluation has it
    config.data.future = 0
    config.data.image_scale = 0.4  # of 400x224
    config.data.image_shape = (96, 160)
    config.data.valid_shape = (90, 160)
    config.data.max_agents = 24
    config.data.max_map = 24
    config.data.max_text = 128
    config.data.photometric = False
    config.data.grid_mask = 0.0
    config.data.flip = 0.5
    config.data.color = 0.2
    config.data.ego_status = "speed"  # with full status a blind planner is good already: images would not matter
    config.data.batch_size = 16
    config.data.workers = 2
    config.data.cache_gib = 4.0

    config.auxiliary.update(image=True, bev=True, agent_groups=2)
    config.init.update(norm_frames=8, embed_scale=0.3)
    config.optim.learning_rate = 1.5e-3
    config.optim.warmup_steps = 100
    config.optim.cosine_per = "step"
    config.optim.groups = (  # from scratch: the backbone trains whole, its norms keep their statistics
        ("student/image_encoder/.*/(mean|var)", 0.0),
        (".*", 1.0),
    )
    config.mesh.update(data=2, fsdp=1)
    config.train.epochs = 3
    config.train.init_from = "runs/miniworld_perception"
    config.train.backbone = ""
    config.train.log_every = 20
    config.train.save_every = 200
    return config


def student(student):
    student.stage_blocks = (1, 2)
    student.stage_width = 8
    student.out_stages = (1,)
    student.extra_levels = 0
    student.level_embeds = 1
    student.width = 64
    student.ffn_width = 128
    student.num_heads = 2
    student.dropout = 0.0
    student.bev_shape = (24, 12)
    student.rotate_center = (6, 12)
    student.encoder_layers = 1
    student.decoder_layers = 2
    student.map_decoder_layers = 2
    student.num_agents = 32
    student.num_map = 24
    student.num_points = 10
    student.num_modes = 3
