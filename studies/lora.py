"""Does it help that the LLM of the joint method is a pretrained one? SmolLM2-135M, frozen, with LoRA in the loop.

    python -m dima_jax.study --plan=studies/lora.py --out=runs/lora

It needs weights/smollm2_135m (docs/llm.md#smollm2-on-a-laptop). An LLM of 135 million weights reads every window of every step, so the plan is short,
of few seeds and small batches, and the plans of the LLMs themselves are not scored: see what it can detect before reading differences.
"""

from dima_jax.study import arms
from dima_jax.study.plan import Arm, Plan

SMOLLM2 = "weights/smollm2_135m"
SIZES = {  # of SmolLM2-135M
    "teacher.llm.layers": 30,
    "teacher.llm.width": 576,
    "teacher.llm.heads": 9,
    "teacher.llm.kv_heads": 3,
    "teacher.llm.ffn_width": 1536,
    "teacher.llm.vocab": 49152,
    "teacher.llm.rope_theta": 100000.0,
    "teacher.llm.tied": True,
}
LINES = {**arms.SIZES, **SIZES, "teacher.tokenizer": SMOLLM2, "data.max_text": 64, "optim.warmup_steps": 20}
LORA = {**arms.KL, **arms.FROZEN_LLM}


def get_plan():
    return Plan(
        title="Does a pretrained LLM in the loop help?",
        **arms.SHARED | {"seeds": 2, "steps": 120, "batch": 4, "lines": LINES},
        reference="alone",
        llm_drives=False,
        arms=(
            arms.alone(),
            Arm(
                "SmolLM2", "The joint method with SmolLM2-135M, frozen, and LoRA.", {**LORA, "teacher.weights": SMOLLM2}
            ),
            Arm("random LLM", "The same with random frozen weights of the same shape, and LoRA.", LORA),
        ),
    )
