"""DiMA in JAX and Flax: a camera-only driving planner, trained with a multi-modal LLM that is not needed to drive.

    from dima_jax import Frame, Policy

    policy = Policy.load("runs/base")               # or Policy.from_onnx("student.onnx"), which needs no JAX
    plan = policy.step(Frame(images, lidar2img, can_bus, command="straight"))
    plan.waypoints                                  # [6, 2] meters: right and ahead, 0.5 s apart

The names below are the public API. They are imported when they are first used, so `import dima_jax` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dima_jax.policy import Frame, Plan, Policy

__version__ = "0.2.0"
__all__ = ["Frame", "Plan", "Policy", "__version__"]


def __getattr__(name: str):
    if name in __all__:
        return getattr(importlib.import_module("dima_jax.policy"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
