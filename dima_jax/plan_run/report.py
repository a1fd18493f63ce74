"""What `plan_run` prints: the plan of a step in figures, its time on the target, and which settings to change."""

from importlib.metadata import PackageNotFoundError, version

import jax
import numpy as np
from ml_collections import ConfigDict

from dima_jax import sharding
from dima_jax.plan_run.devices import SPECS, DeviceSpec
from dima_jax.plan_run.plan import Plan

GIB = 2**30
RESERVE = 0.08  # share of a device's memory that the runtime and fragmentation take
ASSUMED_UTILIZATION = 0.4  # of the peak FLOP/s, where the compiler estimates no time
PACKAGES = ("jax", "libtpu", "jax-cuda12-plugin")


def print_header(name: str, config: ConfigDict, kind: str, number: int, effort: float) -> None:
    """name: of the config's file. kind, number: the target."""
    mesh = " ".join(f"{axis}={config.mesh[axis]}" for axis in sharding.AXES)
    print(
        f"{name} on {kind}:{number}: mesh {mesh}, {config.data.batch_size} windows a step; {versions()}; effort {effort:g}",
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
    if plan.cost.unbounded_loops:
        _print("", f"         {plan.cost.unbounded_loops} loops whose length depends on data (matching) count once")
    if spec is None:
        _print("time", "not estimated for a CPU")
        return
    seconds, source = step_seconds(plan, spec)
    _print("time of a step", f"{seconds:8.3f} s ({source})")
    utilization = plan.needed_flops / seconds / spec.peak
    _print("model-FLOPs utilization", f"{utilization:8.1%} of {spec.peak / 1e12:.0f} TFLOP/s")
    epochs, batch = config.train.epochs, config.data.batch_size
    steps = epochs * (windows // batch)
    _print(f"{epochs} epochs", f"{steps * seconds / 3600:8.1f} h ({steps:,} steps, {windows:,} windows an epoch)")
    for line in recommend(plan, config, spec, number):
        print(line)


def _print(name: str, value: str) -> None:
    print(f"  {name:26s}{value}")


def step_seconds(plan: Plan, spec: DeviceSpec) -> tuple[float, str]:
    """(seconds of a step, where they come from)."""
    if plan.seconds:
        unknown = plan.cost.unknown_cycles
        left_out = f"; {unknown} copies without an estimate are left out" if unknown else ""
        return plan.seconds, f"the compiler's cycles, the costliest branch of each conditional{left_out}"
    sent = sum(plan.cost.sent.values())
    return (
        plan.cost.flops / (ASSUMED_UTILIZATION * spec.peak) + sent / spec.link,
        f"no compiler estimate: {ASSUMED_UTILIZATION:.0%} of the peak, and the traffic at the link's speed",
    )


def recommend(plan: Plan, config: ConfigDict, spec: DeviceSpec, number: int) -> list[str]:
    """Lines that say which settings to change, of a plan for `number` devices.

    Temporary memory is taken as proportional to the windows of a device, so the lines say to run plan_run again.
    """
    usable = spec.memory * (1 - RESERVE)
    held = plan.peak - plan.temporary
    windows_here = config.data.batch_size // (config.mesh.data * config.mesh.fsdp)
    per_window = plan.temporary / windows_here
    fitting = int((usable - held) // per_window)
    if fitting < 1:
        if plan.frozen > 0.2 * spec.memory and config.mesh.fsdp < number:
            return [f"recommended: does not fit; shard the LLM's base: --config.mesh.fsdp={number}"]
        if not config.teacher.llm.remat:
            return ["recommended: does not fit; --config.teacher.llm.remat=True"]
        lacking = (held + per_window - usable) / GIB
        return [
            f"recommended: one window per device lacks {lacking:.1f} GiB; a device with more memory, or a smaller student"
        ]
    lines = []
    windows = 2 ** int(np.log2(fitting))
    batch = windows * config.mesh.data * config.mesh.fsdp
    kept = llm_activation_bytes(config) * windows_here
    if config.teacher.enabled and config.teacher.llm.remat and plan.peak + kept < usable:
        saved = 1 - plan.needed_flops / plan.cost.flops
        lines.append(
            f"  --config.teacher.llm.remat=False    keeps about {kept / GIB:.1f} GiB more and saves {saved:.0%} of the compute"
        )
    if windows > windows_here:
        lines.append(
            f"  --config.data.batch_size={batch}    {windows} windows per device fit by extrapolation "
            f"(in this command: --windows_per_device={windows})"
        )
    reference = reference_batch_size(config)
    if batch < reference:
        lines.append(f"  --config.optim.accumulate={-(-reference // batch)}    for updates of {reference} windows")
    if config.mesh.fsdp > 1 and plan.frozen * config.mesh.fsdp < 0.15 * spec.memory:
        lines.append(
            f"  --config.mesh.fsdp=1 --config.mesh.data={number}    the LLM's base fits on each device: no all-gathers"
        )
    if not lines:
        return ["recommended: as configured"]
    return ["recommended (one at a time; run plan_run again with it):", *lines]


def reference_batch_size(config: ConfigDict) -> int:
    """Windows of an update that the learning rate was made for (VAD: 8 GPUs, one window each)."""
    return max(8, config.data.batch_size * config.optim.accumulate)


def llm_activation_bytes(config: ConfigDict) -> float:
    """Bytes of the LLM's activations of one window that only remat=False keeps, estimated."""
    llm, adapter = config.teacher.llm, config.teacher.adapter
    scene = (
        adapter.bev_grid[0] * adapter.bev_grid[1] + adapter.agent_queries + adapter.map_queries + adapter.ego_queries
    )
    tokens = (scene + config.data.max_text) * (1 + np.ceil(config.teacher.edit_share))
    per_token = 8 * llm.width + 3 * llm.ffn_width + llm.heads * tokens
    return tokens * llm.layers * per_token * np.dtype(jax.numpy.dtype(llm.dtype)).itemsize


def versions() -> str:
    """Of the packages that decide the figures, those that are installed."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
