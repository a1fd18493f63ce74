"""What `plan_run` prints: the plan of a step in figures, its time on the target, and which settings to change."""

import contextlib
import math
from importlib.metadata import PackageNotFoundError, version

from ml_collections import ConfigDict

from dima_jax import sharding
from dima_jax.plan_run import roofline
from dima_jax.plan_run.devices import SPECS, DeviceSpec, platform
from dima_jax.plan_run.plan import Plan
from dima_jax.plan_run.recommend import GIB, recommend

SOURCES = {  # of the time, by platform
    "tpu": "the compiler's cycles; gathers and scatters by rows and bytes, docs/plan_run.md",
    "cuda": "at least: every kernel at the peak of its arithmetic or of the memory's bandwidth",
}
PACKAGES = ("jax", "libtpu", "jax-cuda12-plugin")


def print_header(name: str, config: ConfigDict, kind: str, number: int, effort: float) -> None:
    """name: of the config's file. kind, number: the target."""
    mesh = " ".join(f"{axis}={config.mesh[axis]}" for axis in sharding.AXES)
    packages = ", ".join(f"{package} {number}" for package, number in versions().items())
    print(
        f"{name} on {kind}:{number}: mesh {mesh}, {config.data.batch_size} windows a step; {packages}; effort {effort:g}",
        flush=True,
    )


def print_trained(shares: dict[str, tuple[int, int]]) -> None:
    """shares: of `plan.trained_share`."""
    for name, (trained, total) in shares.items():
        _print(name, f"trained {trained:,} of {total:,} ({trained / total:.2%})")
    print(end="", flush=True)  # compiling takes minutes


def print_plan(plan: Plan, config: ConfigDict, kind: str, number: int, windows: int) -> None:
    """windows: of an epoch."""
    spec = SPECS.get(kind)
    capacity = f" of {spec.memory / GIB:.0f} GiB" if spec else ""
    print(f"traced in {plan.trace_seconds:.0f} s, compiled in {plan.compile_seconds:.0f} s; per device and step:")
    _print("weights, trained", f"{plan.weights / GIB:8.2f} GiB")
    _print("weights, frozen", f"{plan.frozen / GIB:8.2f} GiB")
    _print("optimizer", f"{plan.optimizer / GIB:8.2f} GiB")
    _print("batch", f"{plan.batch / GIB:8.2f} GiB")
    _print("activations, gradients", f"{plan.temporary / GIB:8.2f} GiB")
    _print("peak", f"{plan.peak / GIB:8.2f} GiB{capacity}")
    ratio = plan.cost.flops / plan.needed_flops
    _print("compute", f"{plan.cost.flops / 1e12:8.2f} TFLOP ({ratio:.2f} x what the method needs without remat)")
    by_kind = ", ".join(f"{kind} {size / GIB:.2f}" for kind, size in sorted(plan.cost.sent.items())) or "nothing"
    sent = sum(plan.cost.sent.values())
    _print("sent to other devices", f"{sent / GIB:8.2f} GiB in {plan.cost.collectives:,.0f} collectives ({by_kind})")
    _print_parts(plan, spec)
    if plan.cost.unbounded_loops:
        _print("", f"{plan.cost.unbounded_loops} loops whose length depends on data (matching) count once")
    if plan.cost.waiting_loops:
        _print("", f"{plan.cost.waiting_loops} loops whose length depends on data let devices wait at every turn")
    if spec is None:
        _print("time", "unknown for a CPU")
        return
    _print_time(plan, config, kind, windows)
    for line in recommend(plan, config, spec, number):
        print(line)


def _print_parts(plan: Plan, spec: DeviceSpec | None) -> None:
    """The table of parts: what each computes, moves and takes."""
    head = ("TFLOP", "memory, GB", "of gathers", "time, ms", "share", "of gathers", "arithmetic, ms")
    print("  " + " ".join(["part".ljust(26), *(f"{name:>14s}" for name in head)]))
    for name, part in roofline.by_part(plan.cost, spec).items():
        gathers = part.gather_seconds / part.seconds if part.seconds else part.gather_seconds
        cells = (
            f"{sum(part.flops.values()) / 1e12:.3f}",
            f"{part.moved / 1e9:.2f}",
            f"{part.gathered / 1e9:.2f}",
            _milliseconds(part.seconds),
            _percent(part.share),
            _percent(gathers),
            _milliseconds(part.arithmetic),
        )
        print("  " + " ".join([name.ljust(26), *(cell.rjust(14) for cell in cells)]))


def _print_time(plan: Plan, config: ConfigDict, kind: str, windows: int) -> None:
    spec = SPECS[kind]
    least, most = roofline.step_seconds(plan.cost)
    gathers = sum(plan.cost.gather_seconds.values())
    _print("time of a step", f"{most:8.3f} s ({SOURCES[platform(kind)]})")
    is_range = not math.isclose(least, most, rel_tol=1e-3)  # sums in another order differ in the last bits
    if is_range:
        _print("", f"{least:8.3f} s if data leave out every branch that they can")
    _print("gathers and scatters", f"{gathers:8.3f} s, {gathers / most:.1%} of it" if most else "unknown")
    if plan.cost.unknown:
        places = ", ".join(f"{n} {name}" for name, n in sorted(plan.cost.unknown.items()))
        moved = plan.cost.unknown_bytes
        _print(
            "unknown, left out", f"{places}; they move {moved / 1e9:.2f} GB ({moved / spec.bandwidth:.3f} s or more)"
        )
    utilization = roofline.utilization(plan.cost, plan.needed_flops, spec)
    peaks = ", ".join(f"{form} {spec.peaks[form] / 1e12:.3g}" for form in _formats(plan) if form in spec.peaks)
    bound = "at most " if platform(kind) == "cuda" else ""
    of_peaks = f"of the peaks of its products (TFLOP/s: {peaks})"
    share = "unknown" if utilization is None else f"{bound}{utilization:8.1%} {of_peaks}"
    _print("model-FLOPs utilization", share)
    epochs, batch = config.train.epochs, config.data.batch_size
    steps = epochs * (windows // batch)
    hours = (f"{steps * least / 3600:.1f} to " if is_range else "") + f"{steps * most / 3600:.1f} h"
    _print(f"{epochs} epochs", f"{hours} ({steps:,} steps, {windows:,} windows an epoch)")


def _formats(plan: Plan) -> list[str]:
    return sorted({form for _, form in plan.cost.products})


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1e3 * seconds:.2f}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _print(name: str, value: str) -> None:
    print(f"  {name:26s}{value}")


def versions() -> dict[str, str]:
    """{package: version} of those that decide the figures and are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
