"""The train step of a config, compiled for devices that are not here, and what it needs of each of them."""

import re
import time
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from dima_jax import optimizer, progress, sharding, weights
from dima_jax.data import fake_batch
from dima_jax.errors import UserError
from dima_jax.plan_run import hlo_cost, jaxpr_flops
from dima_jax.plan_run.devices import compiler_options
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import abstract_train_state, make_train_step

PARTS = (  # of the model, by the paths of their weights; the first match counts
    ("student/.*", "student"),
    ("teacher/llm/.*", "LLM base"),
    ("teacher/lora/.*", "LoRA"),
    ("teacher/.*", "adapter and heads"),
)


class Plan(NamedTuple):
    """What a step needs of one device.

    weights (trained), frozen, optimizer, batch: bytes of the step's arguments. temporary: bytes of activations and
    gradients. peak: bytes at most. needed_flops: what the method needs without rematerialization; cost.flops: what the
    compiled step computes.
    """

    weights: float
    frozen: float
    optimizer: float
    batch: float
    temporary: float
    peak: float
    needed_flops: float
    cost: hlo_cost.Cost
    trace_seconds: float
    compile_seconds: float


def fit_mesh(config: ConfigDict, number: int, windows_per_device: int) -> None:
    """Stretches the mesh's data axis to `number` devices and sets the batch size, both in `config`.

    Raises UserError if fsdp * model does not divide `number`.
    """
    rest = config.mesh.fsdp * config.mesh.model
    if number % rest:
        raise UserError(
            f"mesh fsdp={config.mesh.fsdp} model={config.mesh.model} does not divide {number} devices; "
            f"set --config.mesh.fsdp={number}"
        )
    config.mesh.data = number // rest
    config.data.batch_size = windows_per_device * config.mesh.data * config.mesh.fsdp


def trained_share(config: ConfigDict, devices: list) -> dict[str, tuple[int, int]]:
    """{part: (trained weights, all weights)} of the whole model and of each of PARTS, from shapes alone."""
    abstract = ShardedModel(config, devices).abstract
    trained, _ = optimizer.split_frozen(abstract, config.optim.groups)
    parts = weights.match(PARTS, abstract)
    shares = {"weights, all devices": (weights.count(trained), weights.count(abstract))}
    for name in dict.fromkeys(parts.values()):
        part = {path: value for path, value in abstract.items() if parts[path] == name}
        shares[name] = weights.count({path: part[path] for path in part if path in trained}), weights.count(part)
    return shares


def make_plan(config: ConfigDict, devices: list, kind: str) -> Plan:
    """Compiles the train step of `config` for `devices` of a kind (`devices.parse`).

    Raises UserError if the compiler refuses because the step does not fit into a device.
    """
    compiled, arguments, trace_seconds, compile_seconds = compile_step(config, devices, compiler_options(kind))
    state, frozen, batch, _ = arguments
    with progress.waiting("reading the compiled program"):
        cost = hlo_cost.cost(compiled.as_text(), len(devices), kind)
    with progress.waiting("counting what the method needs"):
        needed = needed_flops(config) / len(devices)
    return Plan(
        weights=shard_bytes(state.params),
        frozen=shard_bytes(frozen),
        optimizer=shard_bytes(state.opt_state),
        batch=shard_bytes(batch),
        temporary=compiled.memory_analysis().temp_size_in_bytes,
        peak=peak_bytes(compiled),
        needed_flops=needed,
        cost=cost,
        trace_seconds=trace_seconds,
        compile_seconds=compile_seconds,
    )


def peak_bytes(compiled) -> int:
    """What the compiler says that a program needs of a device's memory, its arguments included."""
    memory = compiled.memory_analysis()
    whole = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return whole - memory.alias_size_in_bytes


def compile_step(config: ConfigDict, devices: list, options: dict):
    """(compiled step, its abstract arguments, seconds of tracing, of compilation); nothing is allocated.

    options: the compiler's. The arguments are state, frozen, batch and key (`train_step.py`). Raises UserError if the
    compiler refuses because a device's memory is too small (the TPU compiler does; the GPU compiler only states the need).
    """
    train_step, arguments = abstract_step(config, devices)
    start = time.perf_counter()
    with progress.waiting("tracing the train step"):
        lowered = train_step.lower(*arguments)
    traced = time.perf_counter()
    try:
        with progress.waiting("compiling it"):
            compiled = lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        if user_error := out_of_memory(str(error)):
            raise user_error from error
        raise
    return compiled, arguments, traced - start, time.perf_counter() - traced


def abstract_step(config: ConfigDict, devices: list):
    """(jitted train step, its arguments as ShapeDtypeStructs on their shardings)."""
    model, optim = ShardedModel(config, devices), optimizer.build(config, steps_per_epoch=1000)  # in the schedule alone
    state, frozen = abstract_train_state(model, optim)
    placement = sharding.batch_sharding(model.mesh)
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement), fake_batch.spec(config))
    key = jax.eval_shape(lambda: jax.random.key(0))
    return make_train_step(model, optim), (state, frozen, batch, key)


def out_of_memory(message: str) -> UserError | None:
    """The UserError for the TPU compiler's "Used 22.79G of 15.75G hbm"; None for any other message."""
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
    train_step, arguments = abstract_step(config, jax.devices("cpu")[:1])
    return jaxpr_flops.of_function(train_step, *arguments)


def shard_bytes(tree) -> float:
    """Bytes that one device holds of abstract arrays with shardings."""
    return sum(np.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))
