"""The whole method at the smallest size that still has every part, for tests that compile the train step.

The LLM is frozen, as one with weights would be.
"""

from tests.tiny_root import small_config


def mini_config(records="absent"):
    """`configs/demo.py` shrunk to seconds of compile time, on the records of `tests/tiny_root.py`."""
    config = small_config(records)
    config.student.update(
        stage_blocks=(1, 1),
        stage_width=8,
        out_stages=(1,),
        width=32,
        ffn_width=32,
        num_heads=2,
        bev_shape=(8, 4),
        rotate_center=(2, 4),
        encoder_layers=1,
        decoder_layers=1,
        map_decoder_layers=1,
        num_agents=12,
        num_map=8,
        num_points=20,
        num_modes=2,
    )
    config.teacher.llm.update(layers=2, width=32, heads=2, kv_heads=1, ffn_width=32)
    config.teacher.lora.rank = 2
    config.teacher.adapter.update(layers=1, heads=2, bev_grid=(4, 2), agent_queries=4, map_queries=4, ego_queries=2)
    config.data.update(max_agents=12, max_map=8, max_text=128, batch_size=2, workers=1)
    config.data.update(ego_status="full", random_start=False, color=0.0)
    config.init.update(norm_frames=0, can_bus_frames=0, embed_scale=1.0)
    config.optim.update(learning_rate=1e-3, warmup_steps=2)
    config.optim.groups = (("teacher/llm/.*", 0.0), *config.optim.groups)
    config.train.update(epochs=1, max_steps=0, init_from="", log_every=1, save_every=2)
    return config
