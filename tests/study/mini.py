"""A study of seconds: `tests/vector/mini.py` on the records of `tests/tiny_root.py`."""

from dima_jax import config_check
from dima_jax.study.plan import OWN, Arm, Plan
from tests.vector.mini import vector_config

ALONE = {"teacher.enabled": False}
SEEDS, STEPS, BATCH = 2, 4, 2


def lines() -> dict:
    """The tiny config as lines of a plan."""
    flat = config_check.flat(vector_config(agent_dropout=0.1, jitter=0.2))
    return {
        key: value for key, value in flat.items() if not any(key == own or key.startswith(f"{own}.") for own in OWN)
    }


def plan(records="absent", **changes) -> Plan:
    """A student alone, a privileged one, and a student that it teaches."""
    arms = (
        Arm("alone", "The student.", ALONE),
        Arm("taught", "With a teacher.", {**ALONE, "distill.form": "feature_l2"}, teacher="privileged"),
        Arm("privileged", "The teacher.", {**ALONE, "vector.future": True, "vector.agent_dropout": 0.0}),
    )
    fields = dict(title="A tiny study", data=str(records), seeds=SEEDS, steps=STEPS, batch=BATCH, reference="alone")
    return Plan(**(fields | dict(arms=arms, lines=lines(), questions=2) | changes))
