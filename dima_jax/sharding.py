"""Where every array lives: one mesh ("data", "fsdp", "model") and ordered rules from weight path to partition.

The batch is split over data and fsdp together; a weight follows the first rule that matches its path (config.mesh.rules).
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dima_jax import weights
from dima_jax.config_kinds import AXES
from dima_jax.errors import UserError

OF_BATCH = ("data", "fsdp")  # axes of the mesh over which the batch is split


def make_mesh(data: int, fsdp: int, model: int, devices=None) -> Mesh:
    """The mesh of the first data * fsdp * model devices. UserError if there are fewer."""
    devices = jax.devices() if devices is None else devices
    wanted = data * fsdp * model
    if wanted > len(devices):
        raise UserError(
            f"the mesh data={data} fsdp={fsdp} model={model} needs {wanted} devices, this machine has {len(devices)}; "
            "set --config.mesh.data/fsdp/model to fit"
        )
    return Mesh(np.asarray(devices[:wanted]).reshape(data, fsdp, model), AXES)


def shard_params(mesh: Mesh, rules: Iterable[tuple[str, tuple]], params: Mapping) -> dict[str, NamedSharding]:
    """{path: sharding}. UserError names a weight whose shape its rule does not divide."""
    shardings = {}
    for path, axes in weights.match(rules, params).items():
        spec = PartitionSpec(*axes)
        shardings[path] = NamedSharding(mesh, spec)
        try:
            shardings[path].shard_shape(params[path].shape)
        except ValueError as error:
            raise UserError(f"mesh rule {axes} does not divide the weight {path} {params[path].shape}") from error
    return shardings


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis of every array of a batch over data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(OF_BATCH))


def on_mesh(function: Callable, mesh: Mesh) -> Callable:
    """The function with `mesh` known to what it traces: `constrain_batch` and `on_own_samples` act there, nowhere else."""

    @functools.wraps(function)
    def traced(*arguments):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*arguments)

    return traced


def platform() -> str:
    """What is traced for, "cpu", "gpu" or "tpu": the mesh of `on_mesh`, else the default device; or `tracing_for`'s."""
    mesh = jax.sharding.get_abstract_mesh()
    return _TARGET.get() or (jax.default_backend() if mesh.empty else mesh.abstract_device.platform)


_TARGET: contextvars.ContextVar[str] = contextvars.ContextVar("target", default="")


@contextlib.contextmanager
def tracing_for(target: str):
    """Programs traced inside are for another runtime than JAX's, e.g. "onnx"."""
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def constrain_batch(x: jax.Array, *rest: str | None) -> jax.Array:
    """x with its first axis over data and fsdp and the others as given. Left to itself the compiler may spread an
    activation like a weight it meets, and send activations where it should gather the weight.
    """
    if not _is_on_mesh():
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(OF_BATCH, *rest))


def _is_on_mesh() -> bool:
    """Whether this is traced inside `on_mesh`: a study has a mesh of other axes."""
    return set(AXES) <= set(jax.sharding.get_abstract_mesh().axis_names)


def on_own_samples(function: Callable, in_axes=0, out_axes=0) -> Callable:
    """The function of arrays of a batch, run by every device of `on_mesh` on its own samples.

    in_axes, out_axes: where arguments and results have the batch, as in `jax.vmap`: a number, or one each.
    For loops that end with the data: over a batch that is split they would wait for each other at every turn. Other axes
    of the mesh are left to the compiler.
    """
    if not _is_on_mesh():
        return function
    in_specs, out_specs = jax.tree.map(lambda axis: PartitionSpec(*[None] * axis, OF_BATCH), (in_axes, out_axes))
    return jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=set(OF_BATCH), check_vma=False)


def place_batch(mesh: Mesh, batch):
    """Host arrays (this process's share of the batch) to one global array per leaf."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)
