"""A plan as numbers for other programs: what `plan_run --json` prints."""

from ml_collections import ConfigDict

from dima_jax import sharding
from dima_jax.plan_run import roofline
from dima_jax.plan_run.devices import SPECS
from dima_jax.plan_run.plan import Plan
from dima_jax.plan_run.recommend import recommend
from dima_jax.plan_run.report import versions


def summary(
    plan: Plan, shares: dict[str, tuple[int, int]], config: ConfigDict, kind: str, number: int, windows: int
) -> dict:
    """Bytes, FLOPs and seconds per device and step; None where a figure is unknown.

    shares: of `plan.trained_share`. kind, number: the target. windows: of an epoch.
    """
    spec, cost = SPECS.get(kind), plan.cost
    least, most = roofline.step_seconds(cost) if spec else (None, None)
    steps = config.train.epochs * (windows // config.data.batch_size)
    return {
        "target": f"{kind}:{number}",
        "packages": versions(),
        "mesh": {axis: config.mesh[axis] for axis in sharding.AXES},
        "windows_per_step": config.data.batch_size,
        "steps": steps,
        "weights": {name: {"trained": trained, "all": total} for name, (trained, total) in shares.items()},
        "bytes": {
            "trained": plan.weights,
            "frozen": plan.frozen,
            "optimizer": plan.optimizer,
            "batch": plan.batch,
            "temporary": plan.temporary,
            "peak": plan.peak,
            "capacity": spec and spec.memory,
        },
        "flops": {"compiled": cost.flops, "needed": plan.needed_flops},
        "sent": cost.sent,
        "collectives": cost.collectives,
        "seconds": most,
        "least_seconds": least,
        "gather_seconds": sum(cost.gather_seconds.values()) if spec else None,
        "utilization": roofline.utilization(cost, plan.needed_flops, spec) if spec else None,
        "parts": {name: part._asdict() for name, part in roofline.by_part(cost, spec).items()},
        "unknown": {"instructions": cost.unknown if spec else None, "bytes": cost.unknown_bytes if spec else None},
        "unbounded_loops": cost.unbounded_loops,
        "waiting_loops": cost.waiting_loops,
        "recommended": recommend(plan, config, spec, number) if spec else [],
        "trace_seconds": plan.trace_seconds,
        "compile_seconds": plan.compile_seconds,
    }
