"""Does a pretrained LLM that reads what the questions and answers say teach more than a random one?

    python -m dima_jax.cache_text --config=configs/demo_smollm2.py --config.data.path=data/vectors/records --out=data/vectors/text_smollm2
    python -m dima_jax.cache_text --config=configs/demo_smollm2.py --config.data.path=data/vectors/records --random=0 --out=data/vectors/text_random
    python -m dima_jax.study --plan=studies/pretrained.py --out=runs/pretrained

Features of a frozen LLM from files, as in Orion-Lite: no LLM is in memory while a student learns. Both LLMs read the same texts, so what
the pretrained one teaches beyond the random one is what it knows of language.
"""

from dima_jax.study import arms
from dima_jax.study.plan import Arm, Plan

PRETRAINED, RANDOM = "data/vectors/text_smollm2", "data/vectors/text_random"


def of_text(name: str, tests: str, form: str, cache: str) -> Arm:
    """A student without an LLM that is taught what one made of the texts."""
    return Arm(name, tests, {**arms.ALONE, "loss.distill": 1.0, "distill.form": form}, cache=cache)


def get_plan():
    return Plan(
        title="Does a pretrained LLM teach what it reads?",
        **arms.SHARED,
        reference="alone",
        arms=(
            arms.alone(),
            of_text(
                "SmolLM2", "Standardized features of SmolLM2-135M, which reads the texts.", "feature_l2", PRETRAINED
            ),
            of_text("SmolLM2 KL", "Softmaxes of its standardized features.", "kl_standardized", PRETRAINED),
            of_text("random LLM", "An LLM of the same shape with random weights reads them.", "feature_l2", RANDOM),
        ),
    )
