"""What sampling costs in one layer of the BEV encoder, in each of its forms: spatial and temporal attention, without projections.

    python -m benchmarks.sampling --config=configs/vad_tiny.py --runs=5            # on this machine's CPU or accelerator
    python -m benchmarks.sampling --config=configs/base.py --target=v5e:1          # compiled for a device that is not there

Forms: rows (`deformable_attention`), pairs (`pair_sampling`, spatial alone), tiles (`tile_sampling`), kernel
(`kernel_sampling`, GPUs alone). A target is one of `dima_jax.plan_run`, whose prices it gets: milliseconds where every branch
that data decides is taken, and `least_ms` where none is. Here (and on `cpu:1`) it is run: milliseconds, on CPUs of processor time, and how far the result is from the first form's: the
largest difference as a share of the largest number, and the share of numbers that are off by more than 1e-4 of it (the slope of
a sample jumps from cell to cell, so those at a border may be off by all of it). Every query is seen by 1.2 cameras, and neighbors
sample neighbors, as in a rig. Backward is the gradient of values, offsets and weights with what it computes
again. JSON on stdout.
"""

import functools
import statistics
import time

from absl import flags

from benchmarks import measure
from dima_jax import cli

CONFIG = cli.define_config("configs/vad_tiny.py")
TARGET = flags.DEFINE_string(
    "target", "here", "The device of this machine, or DEVICE:NUMBER as of dima_jax.plan_run; one device is used."
)
RUNS = flags.DEFINE_integer("runs", 5, "Timed runs.", lower_bound=1)
PARTS = flags.DEFINE_list("parts", ["spatial", "temporal"], "Of them.")
FORMS = flags.DEFINE_list("forms", ["rows", "pairs", "tiles", "kernel"], "Of them.")
PLATFORMS = {"tiles": "tpu", "kernel": "gpu"}  # where a form is the student's


def main() -> None:
    import jax

    from dima_jax.plan_run import devices

    if is_here := TARGET.value == "here":
        kind, device = jax.devices()[0].device_kind, jax.devices()[:1]
    else:
        kind, number = devices.parse(TARGET.value)
        device = devices.make_devices(kind, number)[:1]
    runs, is_gpu = is_here or kind == "cpu", device[0].platform == "gpu"
    results: dict[str, dict] = {}
    for part in PARTS.value:
        expected = {}
        for form in FORMS.value:
            if (part, form) == ("temporal", "pairs") or (form == "kernel" and not is_gpu):
                continue
            found = results[f"{part} {form}"] = {}
            for direction in ("forward", "backward"):
                compiled, shapes = compiled_for(CONFIG.value, part, form, direction, device)
                temporary = compiled.memory_analysis().temp_size_in_bytes / 2**30
                if runs:
                    costs, result = measured(compiled, draw(shapes, CONFIG.value.student.bev_shape))
                    costs |= differences(result, expected.setdefault(direction, result))
                else:
                    costs = priced(compiled, kind)
                found[direction] = costs | {"temporary_gib": temporary}
    measure.print_json(benchmark="sampling", config=flags.FLAGS["config"].config_filename, target=kind, **results)


def compiled_for(config, part: str, form: str, direction: str, device: list):
    """(program of one layer's sampling of one frame, the shapes of its arguments)."""
    import jax

    from dima_jax import sharding

    mesh = sharding.make_mesh(1, 1, 1, device)
    function, shapes = spatial(config, form) if part == "spatial" else temporal(config)
    if direction == "backward":
        function, shapes = gradient(function, shapes)
    everywhere = sharding.replicated(mesh)
    run = jax.jit(sharding.on_mesh(function, mesh), in_shardings=everywhere, out_shardings=everywhere)
    with sharding.tracing_for(PLATFORMS.get(form, "other")):
        return run.lower(*shapes).compile(), shapes


def priced(compiled, kind: str) -> dict:
    """By the prices of a plan of a run."""
    from dima_jax.plan_run import hlo_cost

    found = hlo_cost.cost(compiled.as_text(), 1, kind)
    return {
        "ms": 1e3 * sum(found.seconds.values()),
        "least_ms": 1e3 * found.least_seconds,
        "gathers_ms": 1e3 * sum(found.gather_seconds.values()),
        "moved_gb": sum(found.moved.values()) / 1e9,
    }


def spatial(config, form: str):
    """(sampling of every camera, the shapes of its arguments): values, references, visible, offsets, weights."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from dima_jax.student import student as student_lib
    from dima_jax.student.bev_encoder import SPATIAL_POINTS
    from dima_jax.student.deformable_attention import num_cells, sample_cameras
    from dima_jax.student.pair_sampling import sample_pairs

    sizes = config.student
    encoder = nnx.eval_shape(lambda: student_lib.build(config, nnx.Rngs(0))).image_encoder
    graph, state = nnx.split(encoder)
    images = jax.ShapeDtypeStruct((1, *config.data.image_shape, 3), jnp.float32)
    levels = jax.eval_shape(lambda state, images: nnx.merge(graph, state)(images), state, images)
    shapes = tuple(level.shape[1:3] for level in levels)
    cameras, queries = len(config.data.cameras), sizes.bev_shape[0] * sizes.bev_shape[1]
    points = (1, queries, sizes.num_heads, len(shapes), SPATIAL_POINTS)
    value = (1, cameras, num_cells(shapes), sizes.num_heads, sizes.width // sizes.num_heads)
    of = jax.ShapeDtypeStruct
    sample = sample_pairs if form == "pairs" else sample_cameras
    return lambda value, *arrays: sample(value, shapes, *arrays), (
        of(value, jnp.float32),
        of((1, cameras, queries, sizes.pillar_points, 2), jnp.float32),
        of((1, cameras, queries), jnp.bool_),
        of((*points, 2), jnp.float32),
        of(points, jnp.float32),
    )


def temporal(config):
    """(sampling of the previous and the current BEV, the shapes of its arguments): values, locations, weights."""
    import jax
    import jax.numpy as jnp

    from dima_jax.student.bev_encoder import TEMPORAL_POINTS
    from dima_jax.student.deformable_attention import sample_levels

    sizes = config.student
    queries, channels = sizes.bev_shape[0] * sizes.bev_shape[1], sizes.width // sizes.num_heads
    points = (2, queries, sizes.num_heads, 1, TEMPORAL_POINTS)
    shapes = ((2, queries, sizes.num_heads, channels), (*points, 2), points)
    grid = (tuple(sizes.bev_shape),)
    return lambda value, *arrays: sample_levels(value, grid, *arrays), tuple(
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes
    )


def gradient(function, shapes):
    """(the gradient of what has one, the shapes of its arguments): the result's gradient first."""
    import jax

    places = (0, 3, 4) if len(shapes) == 5 else (0, 1, 2)

    def backward(result, *arrays):
        def of_places(*chosen):
            chosen = dict(zip(places, chosen, strict=True))
            return function(*(chosen.get(i, x) for i, x in enumerate(arrays)))

        return jax.vjp(of_places, *(arrays[i] for i in places))[1](result)

    return backward, (jax.eval_shape(function, *shapes), *shapes)


@functools.cache  # every form gets the same, and VAD-Base's take seconds
def draw(shapes: tuple, bev_shape: tuple[int, int]) -> list:
    """Random arguments of these shapes. A camera sees a sector around the middle of the BEV; points lie some cells from
    where their query does."""
    import numpy as np

    from dima_jax.expected_work import PAIRS_PER_QUERY

    rng = np.random.default_rng(0)
    y, x = (np.mgrid[: bev_shape[0], : bev_shape[1]].reshape(2, -1, 1) + 0.5) / np.reshape(bev_shape, (2, 1, 1))

    def sectors(cameras: int):
        turns = np.arctan2(y - 0.5, x - 0.5) / (2 * np.pi) - np.arange(cameras) / cameras
        return (np.abs((turns + 0.5) % 1.0 - 0.5) < PAIRS_PER_QUERY / cameras / 2).T

    def around(middle: float, spread: float, shape):
        return (middle + spread * rng.normal(size=shape)).astype(np.float32)

    def of(shape):
        sizes = shape.shape
        if shape.dtype == bool:
            return np.broadcast_to(sectors(sizes[1]), sizes)
        if sizes[-1] != 2:
            return around(0.0, 1.0, sizes)
        if is_spatial and len(sizes) == 6:  # offsets in cells
            return around(0.0, 3.0, sizes)
        after = len(sizes) - sizes.index(len(x)) - 2  # axes between queries and coordinates
        place = np.stack([x, y], axis=-1).reshape(-1, *[1] * after, 2)
        return place.astype(np.float32) + around(0.0, 0.03, sizes)

    is_spatial = any(shape.dtype == bool for shape in shapes)
    return [of(shape) for shape in shapes]


def measured(compiled, arguments: list) -> tuple[dict, object]:
    """(the median milliseconds of a run, on CPUs of processor time; its result)."""
    import jax

    arguments = jax.device_put(arguments)
    result = jax.block_until_ready(compiled(*arguments))
    is_cpu = jax.devices()[0].platform == "cpu"
    clock, times = time.process_time if is_cpu else time.perf_counter, []
    in_a_row = 1 if is_cpu else 10  # an accelerator is started while it runs
    for _ in range(RUNS.value):
        start = clock()
        jax.block_until_ready([compiled(*arguments) for _ in range(in_a_row)][-1])
        times.append((clock() - start) / in_a_row)
    return {"cpu_ms" if is_cpu else "ms": 1e3 * statistics.median(times)}, jax.device_get(result)


def differences(result, expected) -> dict:
    """Between two results: the largest as a share of the largest number, and how many are above 1e-4 of it."""
    import jax
    import numpy as np

    pairs = zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True)
    shares = [np.abs(ours - theirs) / np.abs(theirs).max() for ours, theirs in pairs]
    above = sum(int((of > 1e-4).sum()) for of in shares)
    return {"difference": max(float(of.max()) for of in shares), "share_off": above / sum(of.size for of in shares)}


if __name__ == "__main__":
    cli.run(main)
