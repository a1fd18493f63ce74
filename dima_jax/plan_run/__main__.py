"""What a run needs, before anybody books hardware: the whole joint train step compiled for devices that are not here.

    python -m dima_jax.plan_run --config=configs/base.py --target=v5p:8 [--windows_per_device=1] [--config.mesh.fsdp=8]

Targets: cpu:N always; v4, v5e, v5p, v6e with libtpu; a100, h100 with the CUDA plugin (see `devices.py`; the command says
which pip line is missing). Nothing runs and no weight is made: shapes and shardings go to the compiler, and what it
answers is printed per device: memory by kind, work, traffic, time, hours of the run, and what to set. First comes how
many weights are trained, of the student, the LLM and what lies between. The mesh's data axis is stretched to the number
of devices. No records are needed; --windows says how many an epoch has.
"""

import re
import time
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from dima_jax import cli, optimizer, sharding, weights
from dima_jax.data import fake_batch
from dima_jax.errors import UserError
from dima_jax.plan_run import hlo_cost, jaxpr_flops
from dima_jax.plan_run.devices import CARDS, TARGETS, Card, compiler_options, make_devices, parse
from dima_jax.train_step import Setup

GIB = 2**30
RESERVE = 0.08  # share of a device's memory that the runtime and fragmentation keep
ROOMS = (  # what a weight is for; first match wins
    ("student/.*", "student"),
    ("teacher/llm/.*", "LLM base"),
    ("teacher/lora/.*", "LoRA"),
    ("teacher/.*", "adapter and heads"),
)
MFU_WITHOUT_ESTIMATE = 0.4  # of the peak, where the compiler gives no time


class Plan(NamedTuple):
    """Of one device, bytes and FLOPs of a step; seconds is the compiler's estimate, None where it gives none."""

    weights: float
    frozen: float
    optimizer: float
    batch: float
    temporary: float
    peak: float
    needed_flops: float
    cost: hlo_cost.Cost
    seconds: float | None
    trace_seconds: float
    compile_seconds: float


def main() -> None:
    config = CONFIG.value
    if config is None:
        raise UserError("--config is missing; e.g. --config=configs/base.py")
    kind, number = parse(TARGET.value)
    jax.config.update("jax_exec_time_optimization_effort", EFFORT.value)
    devices = make_devices(kind, number)
    fit(config, number, WINDOWS_PER_DEVICE.value)
    mesh = " ".join(f"{axis}={config.mesh[axis]}" for axis in sharding.AXES)
    name = flags.FLAGS["config"].config_filename
    print(
        f"{name} on {kind}:{number}: mesh {mesh}, {config.data.batch_size} windows a step; {versions()}; effort {EFFORT.value:g}",
        flush=True,
    )
    print_trained(trained_share(config, devices))
    result = plan(config, devices, kind)
    report(result, config, kind, number, WINDOWS.value)


def fit(config: ConfigDict, number: int, windows_per_device: int) -> None:
    """Stretches the mesh's data axis to `number` devices and sets the batch. UserError if fsdp * model does not divide."""
    rest = config.mesh.fsdp * config.mesh.model
    if number % rest:
        raise UserError(
            f"mesh fsdp={config.mesh.fsdp} model={config.mesh.model} does not divide {number} devices; "
            f"set --config.mesh.fsdp={number}"
        )
    config.mesh.data = number // rest
    config.data.batch_size = windows_per_device * config.mesh.data * config.mesh.fsdp


def trained_share(config: ConfigDict, devices: list) -> dict[str, tuple[int, int]]:
    """{room: (trained weights, all weights)} of the whole model and of each of ROOMS, from shapes alone."""
    everything = Setup(config, steps_per_epoch=1000, devices=devices).abstract
    trained, _ = optimizer.split_frozen(everything, config.optim.groups)
    rooms = weights.match(ROOMS, everything)
    shares = {"weights, all devices": (weights.count(trained), weights.count(everything))}
    for name in dict.fromkeys(rooms.values()):
        room = {path: value for path, value in everything.items() if rooms[path] == name}
        shares[name] = weights.count({path: room[path] for path in room if path in trained}), weights.count(room)
    return shares


def print_trained(shares: dict[str, tuple[int, int]]) -> None:
    for name, (trained, whole) in shares.items():
        row(name, f"trained {trained:,} of {whole:,} ({trained / whole:.2%})")
    print(end="", flush=True)  # compiling takes minutes


def plan(config: ConfigDict, devices: list, kind: str) -> Plan:
    """Compiles the train step of `config` for `devices` of a kind (`parse`)."""
    options, card = compiler_options(kind), CARDS.get(kind)
    compiled, state, frozen, batch, trace_seconds, compile_seconds = compile_step(config, devices, options)
    memory = compiled.memory_analysis()
    peak = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    cost = hlo_cost.cost(compiled.as_text(), len(devices))
    return Plan(
        weights=shard_bytes(state.params),
        frozen=shard_bytes(frozen),
        optimizer=shard_bytes(state.opt_state),
        batch=shard_bytes(batch),
        temporary=memory.temp_size_in_bytes,
        peak=peak,
        needed_flops=needed_flops(config) / len(devices),
        cost=cost,
        seconds=cost.cycles / card.clock if card and card.clock and cost.cycles else None,
        trace_seconds=trace_seconds,
        compile_seconds=compile_seconds,
    )


def compile_step(config: ConfigDict, devices: list, options: dict):
    """(compiled step, abstract state, frozen, batch, seconds of tracing, of compilation); nothing is allocated.

    UserError if the compiler refuses because a device's memory is too small (a TPU's does; a GPU's only tells the need).
    """
    setup = Setup(config, steps_per_epoch=1000, devices=devices)
    state, frozen = setup.abstract_state()
    place = sharding.batch_sharding(setup.mesh)
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), fake_batch.spec(config))
    key = jax.eval_shape(lambda: jax.random.key(0))
    start = time.perf_counter()
    lowered = setup.train_step(state).lower(state, frozen, batch, key)
    traced = time.perf_counter()
    try:
        compiled = lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        if told := too_large(str(error)):
            raise told from error
        raise
    return compiled, state, frozen, batch, traced - start, time.perf_counter() - traced


def too_large(message: str) -> UserError | None:
    """What to say of the TPU compiler's "Used 22.79G of 15.75G hbm"; None for any other message."""
    if not (found := re.search(r"Used ([\d.]+)G of ([\d.]+)G hbm", message)):
        return None
    return UserError(
        f"does not fit: a device needs {found[1]} GiB and has {found[2]}; fewer --windows_per_device, a larger "
        "--config.mesh.fsdp, --config.teacher.llm.remat=True, a smaller student, or a device with more memory"
    )


def needed_flops(config: ConfigDict) -> float:
    """FLOPs of a step that the method needs, all devices together: every activation kept, counted as written."""
    config = jaxpr_flops.without_remat(config)
    config.mesh.update(data=1, fsdp=1, model=1)
    setup = Setup(config, steps_per_epoch=1000, devices=jax.devices("cpu")[:1])
    state, frozen = setup.abstract_state()
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jaxpr_flops.of_function(setup.train_step(state), state, frozen, fake_batch.spec(config), key)


def shard_bytes(tree) -> float:
    """Bytes that one device holds of abstract arrays with shardings."""
    return sum(np.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def report(result: Plan, config: ConfigDict, kind: str, number: int, windows: int) -> None:
    card = CARDS.get(kind)
    capacity = f" of {card.memory / GIB:.0f} GiB" if card else ""
    print(f"traced in {result.trace_seconds:.0f} s, compiled in {result.compile_seconds:.0f} s; per device and step:")
    row("weights, trained", f"{result.weights / GIB:8.2f} GiB")
    row("weights, frozen", f"{result.frozen / GIB:8.2f} GiB")
    row("optimizer", f"{result.optimizer / GIB:8.2f} GiB")
    row("batch", f"{result.batch / GIB:8.2f} GiB")
    row("activations, gradients", f"{result.temporary / GIB:8.2f} GiB")
    row("peak", f"{result.peak / GIB:8.2f} GiB{capacity}")
    ratio = result.cost.flops / result.needed_flops
    row("work, compiled", f"{result.cost.flops / 1e12:8.2f} TFLOP ({ratio:.2f} x what the method needs without remat)")
    traffic = ", ".join(f"{kind} {size / GIB:.2f}" for kind, size in sorted(result.cost.moved.items())) or "nothing"
    sent = sum(result.cost.moved.values())
    row("sent to other devices", f"{sent / GIB:8.2f} GiB in {result.cost.collectives:,.0f} collectives ({traffic})")
    if result.cost.open_loops:
        row("", f"         {result.cost.open_loops} loops that end on data are counted once (matching)")
    if card is None:
        row("time", "not estimated for a CPU")
        return
    seconds, source = estimate(result, card)
    row("time of a step", f"{seconds:8.3f} s ({source})")
    row(
        "model-FLOPs utilization", f"{result.needed_flops / seconds / card.peak:8.1%} of {card.peak / 1e12:.0f} TFLOP/s"
    )
    epochs, batch = config.train.epochs, config.data.batch_size
    steps = epochs * (windows // batch)
    row(f"{epochs} epochs", f"{steps * seconds / 3600:8.1f} h ({steps:,} steps, {windows:,} windows an epoch)")
    for line in recommend(result, config, card, number):
        print(line)


def row(name: str, value: str) -> None:
    print(f"  {name:26s}{value}")


def estimate(result: Plan, card: Card) -> tuple[float, str]:
    """(seconds of a step, where they come from)."""
    if result.seconds:
        blind = f"; {result.cost.blind} copies without an estimate are left out" if result.cost.blind else ""
        return result.seconds, f"the compiler's cycles, conditionals at their dearest{blind}"
    sent = sum(result.cost.moved.values())
    return (
        result.cost.flops / (MFU_WITHOUT_ESTIMATE * card.peak) + sent / card.link,
        f"no compiler estimate: {MFU_WITHOUT_ESTIMATE:.0%} of the peak, and the traffic at the link's speed",
    )


def recommend(result: Plan, config: ConfigDict, card: Card, number: int) -> list[str]:
    """What to set. Memory is taken as linear in the windows of a device; the line says to check by running again."""
    usable = card.memory * (1 - RESERVE)
    held = result.peak - result.temporary
    here = config.data.batch_size // (config.mesh.data * config.mesh.fsdp)
    per_window = result.temporary / here
    fits = int((usable - held) // per_window)
    if fits < 1:
        if result.frozen > 0.2 * card.memory and config.mesh.fsdp < number:
            return [f"recommended: does not fit; spread the base: --config.mesh.fsdp={number}"]
        if not config.teacher.llm.remat:
            return ["recommended: does not fit; --config.teacher.llm.remat=True"]
        short = (held + per_window - usable) / GIB
        return [f"recommended: one window lacks {short:.1f} GiB; a device with more memory, or a smaller student"]
    lines = []
    windows = 2 ** int(np.log2(fits))
    batch = windows * config.mesh.data * config.mesh.fsdp
    keep = kept_activations(config) * here
    if config.teacher.enabled and config.teacher.llm.remat and result.peak + keep < usable:
        saved = 1 - result.needed_flops / result.cost.flops
        lines.append(
            f"  --config.teacher.llm.remat=False    keeps about {keep / GIB:.1f} GiB more, {saved:.0%} of the work less"
        )
    if windows > here:
        lines.append(
            f"  --config.data.batch_size={batch}    {windows} windows per device fit by extrapolation "
            f"(here: --windows_per_device={windows})"
        )
    wanted = base_batch(config)
    if batch < wanted:
        lines.append(f"  --config.optim.accumulate={-(-wanted // batch)}    for steps of {wanted} windows")
    if config.mesh.fsdp > 1 and result.frozen * config.mesh.fsdp < 0.15 * card.memory:
        lines.append(
            f"  --config.mesh.fsdp=1 --config.mesh.data={number}    the base fits on each device: no gathering"
        )
    if not lines:
        return ["recommended: as configured"]
    return ["recommended (one at a time; run plan_run again with it):", *lines]


def base_batch(config: ConfigDict) -> int:
    """Windows of an optimization step that the schedule was made for (VAD: 8 cards, one window each)."""
    return max(8, config.data.batch_size * config.optim.accumulate)


def kept_activations(config: ConfigDict) -> float:
    """Bytes of LLM activations of one window that remat does not keep, estimated."""
    llm, adapter = config.teacher.llm, config.teacher.adapter
    scene = (
        adapter.bev_grid[0] * adapter.bev_grid[1] + adapter.agent_queries + adapter.map_queries + adapter.ego_queries
    )
    tokens = (scene + config.data.max_text) * (1 + np.ceil(config.teacher.edit_share))
    per_token = 8 * llm.width + 3 * llm.ffn_width + llm.heads * tokens
    return tokens * llm.layers * per_token * np.dtype(jax.numpy.dtype(llm.dtype)).itemsize


def versions() -> str:
    found = []
    for name in ("jax", "libtpu", "jax-cuda12-plugin"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    CONFIG = cli.define_config()
    TARGET = flags.DEFINE_string("target", "cpu:8", f"DEVICE:NUMBER; devices: {', '.join(TARGETS)}.")
    WINDOWS_PER_DEVICE = flags.DEFINE_integer("windows_per_device", 1, "Windows of each device in a step.")
    EFFORT = flags.DEFINE_float(
        "effort",
        -1.0,
        "What XLA spends on speed, -1 to 1; 0 as in training. On a TPU -1 compiles some times faster, needs about as much "
        "memory, and makes a slower program.",
        lower_bound=-1.0,
        upper_bound=1.0,
    )
    WINDOWS = flags.DEFINE_integer("windows", 28130, "Windows of an epoch; nuScenes' train split has 28,130.")
    cli.run(main)
