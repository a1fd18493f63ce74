"""DiMA on VAD-Base with LLaVA-v1.5-7B's language model: every key of every config, once.

    python -m dima_jax.train --config=configs/base.py --workdir=runs/base

Hardware: a mesh of 8 x 80 GB cards or v5p chips. Expected numbers: not yet measured.
Derived configs change lines of this one; consumers never default a key. Units and sources in the comments.
"""

from ml_collections import ConfigDict, config_dict

from dima_jax.constants import CAMERAS


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.student = student()
    config.vector = vector()
    config.teacher = teacher()
    config.auxiliary = auxiliary()
    config.loss = loss()
    config.distill = distill()
    config.data = data()
    config.optim = optim()
    config.mesh = mesh()
    config.init = init()
    config.train = train()
    return config


def student() -> ConfigDict:
    """VAD-Base (docs/vad.md#configurations)."""
    return ConfigDict(
        dict(
            stage_blocks=(3, 4, 6, 3),  # ResNet-50
            stage_width=64,  # channels of the first stage before expansion (x4)
            out_stages=(1, 2, 3),  # C3, C4, C5 go to the FPN
            extra_levels=1,  # stride-2 levels on top of the FPN
            level_embeds=4,  # rows of the level embedding (VAD keeps 4 also with one level)
            width=256,  # D
            ffn_width=512,
            num_heads=8,
            dropout=0.1,
            bev_shape=(200, 200),  # rows (y, forward), columns (x, right)
            pc_range=(-15.0, -30.0, -2.0, 15.0, 30.0, 2.0),  # meters
            pillar_points=4,  # z anchors per BEV cell
            rotate_center=(100, 100),  # pixel (x, y); docs/vad.md#q1
            encoder_layers=6,
            decoder_layers=6,  # of the agent decoder
            map_decoder_layers=6,
            num_agents=300,
            num_map=100,
            num_points=20,  # per map line
            num_modes=6,
            num_future=6,  # steps of 0.5 s
            num_commands=3,
            map_score_threshold=0.5,  # motion attends only to map lines scored above
            map_distance_threshold=0.2,  # and nearer than this, normalized units (quirk Q5)
            dtype="float32",  # or "bfloat16", of products and activations, for GPUs and TPUs; weights stay float32
            encoder_remat="accelerators",  # where gradients compute the BEV encoder again; or "always", "never"
        )
    )


def vector() -> ConfigDict:
    """Vector mode: a student that is told the recorded agents and lines (docs/evidence.md#vector-mode); VAD is not."""
    return ConfigDict(
        dict(
            enabled=False,  # True: a student without perception, for studies of teachers
            agent_dropout=0.0,  # probability that an agent is not told, in training and evaluation
            line_dropout=0.0,  # the same of a map line
            jitter=0.0,  # m, standard deviation in x and in y of the displacement of an agent or a line
            range_noise=0.0,  # added to it per meter of distance
            velocity=False,  # agents' recorded velocity is told; half a second of the future is in it
            future=False,  # True: and where they will go: no student, but the privileged teacher of a positive control
        )
    )


def teacher() -> ConfigDict:
    """The multi-modal LLM (D2 to D14 in docs/decisions.md)."""
    return ConfigDict(
        dict(
            enabled=True,  # False: stages 1 and 2, no teacher is built
            llm=dict(
                layers=32,
                width=4096,  # E
                heads=32,
                kv_heads=32,
                ffn_width=11008,
                vocab=32000,
                rope_theta=10000.0,
                # None, or that of LLaMA 3.1 and later: (factor, low_freq_factor, high_freq_factor, original positions)
                rope_scaling=config_dict.placeholder(tuple),
                rms_eps=1e-5,
                tied=False,
                dtype="bfloat16",  # of the frozen base
                remat=True,
            ),
            weights="",  # folder written by `python -m dima_jax.convert llama`; "" = random (a control, or a test)
            tokenizer="",  # folder with tokenizer.json; "" = the byte-level tokenizer of data/prompts.py
            lora=dict(rank=16, alpha=32.0),  # D4
            adapter=dict(
                layers=2,
                heads=8,
                bev_grid=(16, 16),  # rows, columns: one BEV query per cell
                agent_queries=64,
                map_queries=64,
                ego_queries=8,
                ego_status=False,  # True: the ego token, a learned constant, carries the student's CAN bus and command
            ),
            tokens=("ego", "agents", "bev", "map"),  # what the teacher sees of the scene; all else is zero
            shapes_student=True,  # D11; False: it reads these as constants, and its own losses train it alone
            mask_ratio=(0.2, 0.4),  # D7, share of BEV cells, uniform
            separate_mask_pass=False,  # D8
            edit_share=1.0,  # D10, share of the batch that is edited; less saves time with several windows a device
            edit_threshold=0.5,  # D10, predicted agents and map lines scored above it count as real
        )
    )


def auxiliary() -> ConfigDict:
    """Heads in training only, that teach a student to see from few images (`auxiliary.py`); VAD has none."""
    return ConfigDict(
        dict(
            image=False,  # classes and depth of every cell of the image features
            bev=False,  # occupancy and map raster of every BEV cell
            agent_groups=0,  # further groups of queries for the agent decoder, each as large as its own
            map_groups=0,  # the same for the map decoder
            facts=False,  # what the answers to questions say, without an LLM (data/facts.py); in vector mode too
        )
    )


def loss() -> ConfigDict:
    """Weights of `losses/dima_loss.py`, one per term (docs/vad.md#losses, docs/decisions.md#loss-weights)."""
    return ConfigDict(
        dict(
            agent_class=2.0,
            agent_box=0.25,
            agent_motion=0.2,
            agent_mode=0.2,
            map_class=2.0,
            map_points=1.0,
            map_direction=0.005,
            plan_imitation=1.0,
            plan_boundary=1.0,
            plan_collision=1.0,
            plan_direction=0.5,
            teacher_imitation=1.0,
            teacher_boundary=1.0,
            teacher_collision=1.0,
            teacher_direction=0.5,
            teacher_agents=0.2,
            language=1.0,
            reconstruction=1.0,
            future=1.0,
            edit_imitation=1.0,
            edit_boundary=1.0,
            edit_collision=1.0,
            edit_direction=0.5,
            edit_language=0.25,
            distill=1.0,
            distill_temperature=1.0,  # D6
            image_class=1.0,  # from here on: the group `auxiliary`
            image_depth=0.5,
            bev_class=1.0,
            group_agent_class=2.0,
            group_agent_box=0.25,
            group_map_class=2.0,
            group_map_points=1.0,
            group_map_direction=0.005,
            facts=1.0,
        )
    )


def distill() -> ConfigDict:
    """What of the teacher the student learns, and when (D6, D13); its weight is `loss.distill`."""
    return ConfigDict(
        dict(
            form="kl",  # or "kl_standardized", "feature_l2", "shared_head", "plan"
            gate=False,  # True: only samples in which the teacher's plan is nearer to the recorded path than the student's
            start_step=0,  # train steps before it, the teacher learns and does not teach
            ramp_steps=0,  # train steps from then on until the weight is whole
            freeze_teacher=False,  # True: from start_step on, the teacher does not change
            cache="",  # folder of `python -m dima_jax.cache_teacher`: its teacher teaches, and no LLM is in memory
        )
    )


def data() -> ConfigDict:
    """Records and windows (docs/decisions.md#records-and-windows)."""
    return ConfigDict(
        dict(
            path="data/nuscenes/records",  # written by `python -m data_prep.build`
            train_split="train",
            val_split="val",
            history=3,  # frames before the current one (VAD-Base: queue of 4)
            random_start=False,  # True: a drive that began 0..history frames ago; False: VAD's, one of history + 1 left out
            future=2,  # frames after it, for D9
            cameras=CAMERAS,  # of the records, in the order in which the student has them
            image_scale=0.8,  # of the recorded image of the first camera; others are scaled to fit (data/transforms.py)
            image_shape=(736, 1280),  # rows, columns after scaling and padding to a multiple of 32
            valid_shape=(720, 1280),  # of it, the rows and columns that are not padding
            color_order="rgb",
            mean=(123.675, 116.28, 103.53),  # in color_order, 0..255
            std=(58.395, 57.12, 57.375),
            photometric=True,  # VAD's photometric distortion in training
            grid_mask=0.7,  # probability of GridMask in training; 0 = off
            hold_out_paths=(),  # tags whose frames train without a recorded path: "FILE.json:TAG" of data_prep.mine, or of scenes
            flip=0.0,  # probability that a training window is mirrored left-right, without a teacher (data/augment.py)
            zoom=(1.0, 1.0),  # range of a random scale of a training window's images, which are then cropped by chance
            color=0.0,  # strength of a fast color distortion in training, 1 = the ranges of `photometric`
            max_agents=96,  # padding G
            max_map=64,  # padding L
            max_text=256,  # padding S
            ego_status="full",  # CAN bus input: VAD's, or "speed" alone, or "none": all zeros (docs/vad.md#can-bus)
            command=True,  # False: every command is "straight" (control)
            batch_size=8,  # windows per step, all devices together
            workers=8,  # reader threads
            cache_gib=1.0,  # memory of the training reader for decoded frames: a small data set stays in it whole
            prefetch_gib=2.0,  # memory for the images of batches that are made while a step runs; one always is
            shuffle_scenes=0,  # scenes whose windows are mixed at a time; 0 = all, as VAD (docs/training.md#reading)
        )
    )


def optim() -> ConfigDict:
    """AdamW as VAD (docs/vad.md#optimizer). `groups`: first match wins; factor of the learning rate, 0 = frozen."""
    return ConfigDict(
        dict(
            learning_rate=2e-4,
            weight_decay=0.01,
            clip_norm=35.0,
            accumulate=1,  # steps whose mean gradient makes one update
            warmup_steps=500,
            warmup_from=1 / 3,
            final_scale=1e-3,  # cosine down to this share of the learning rate
            cosine_per="epoch",  # the cosine changes once an "epoch" (VAD) or with every "step"
            groups=(
                ("teacher/llm/.*", 0.0),
                ("student/image_encoder/.*/(norm[0-9]?|downsample_norm)/.*", 0.0),  # frozen BatchNorm
                ("student/image_encoder/(stem|stages/0)/.*", 0.0),  # frozen_stages=1
                ("student/image_encoder/fpn/.*", 1.0),
                ("student/image_encoder/.*", 0.1),
                (".*", 1.0),
            ),
        )
    )


def mesh() -> ConfigDict:
    """Device mesh and where each weight lives: ordered (path regex, partition axes), first match wins."""
    return ConfigDict(
        dict(
            data=1,
            fsdp=8,
            model=1,
            rules=(
                ("teacher/llm/layers/(q|k|v|gate|up)/kernel", (None, "fsdp", "model")),
                ("teacher/llm/layers/(o|down)/kernel", (None, "model", "fsdp")),
                ("teacher/llm/(embed|head)/.*", ("model", "fsdp")),
                (".*", ()),
            ),
        )
    )


def init() -> ConfigDict:
    """What happens to weights before the first step (`initialization.py`); VAD changes nothing."""
    return ConfigDict(
        dict(
            norm_frames=0,  # key frames whose images set a fresh student's frozen norms; 0 = they stay 0 and 1
            embed_scale=1.0,  # factor of the start of a fresh student's BEV queries, camera, level and CAN bus embeddings
            can_bus_frames=0,  # key frames that the first CAN bus layer is scaled to, with `train.init_from` too; 0 = none
        )
    )


def train() -> ConfigDict:
    """The run."""
    return ConfigDict(
        dict(
            epochs=30,  # joint stage of the paper
            max_steps=0,  # the run ends after so many steps, if its epochs have more; 0 = after its epochs
            init_from="",  # workdir of an earlier stage: its student is the start
            init_teacher=False,  # True: and its teacher, of a whole run
            backbone="weights/resnet50",  # without it: folder written by `python -m dima_jax.convert resnet`; "" = random
            log_every=50,  # steps
            save_every=1000,  # steps
            keep=2,  # checkpoints
        )
    )
