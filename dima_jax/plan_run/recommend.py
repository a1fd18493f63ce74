"""Which settings of a run to change, given its plan."""

import jax
import numpy as np
from ml_collections import ConfigDict

from dima_jax.plan_run.devices import DeviceSpec
from dima_jax.plan_run.plan import Plan
from dima_jax.teacher.attention import query_blocks

GIB = 2**30
RESERVE = 0.08  # share of a device's memory that the runtime and fragmentation take


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
        less = [] if config.student.dtype == "bfloat16" else ["--config.student.dtype=bfloat16"]
        if config.student.encoder_remat == "never":
            less.append("--config.student.encoder_remat=accelerators")
        ways = ", ".join([*less, "a device with more memory, or a smaller student"])
        return [f"recommended: one window per device lacks {lacking:.1f} GiB; {ways}"]
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
    length, rows = scene + config.data.max_text, 1 + np.ceil(config.teacher.edit_share)
    pairs = sum((stop - start) * stop for start, stop in query_blocks(length, scene))  # of a query and a key
    numbers = length * (8 * llm.width + 3 * llm.ffn_width) + llm.heads * pairs
    return rows * llm.layers * numbers * np.dtype(jax.numpy.dtype(llm.dtype)).itemsize
