"""The time of a step by parts of the model, and how far it is from the least that its arithmetic takes."""

from typing import NamedTuple

from dima_jax.plan_run import parts
from dima_jax.plan_run.devices import DeviceSpec
from dima_jax.plan_run.hlo_cost import Cost


class Part(NamedTuple):
    """seconds, gather_seconds: see `Cost`, None on a device without a data sheet. share: of the step's seconds.
    arithmetic: seconds of its products at the peak of their number formats, None where such a peak is not known.
    flops: by number format. moved, gathered: bytes of memory.
    """

    seconds: float | None
    gather_seconds: float | None
    share: float | None
    arithmetic: float | None
    flops: dict[str, float]
    moved: float
    gathered: float


def by_part(cost: Cost, spec: DeviceSpec | None) -> dict[str, Part]:
    """{name: Part} of the parts that do something, in the order of the model."""
    total, found = sum(cost.seconds.values()), {}
    for name in parts.ORDER:
        flops = {form: work for (part, form), work in cost.products.items() if part == name}
        seconds = cost.seconds.get(name, 0.0)
        if flops or seconds or cost.moved.get(name):
            found[name] = Part(
                seconds=seconds if spec else None,
                gather_seconds=cost.gather_seconds.get(name, 0.0) if spec else None,
                share=seconds / total if spec and total else None,
                arithmetic=arithmetic_seconds(flops, spec) if spec else None,
                flops=flops,
                moved=cost.moved.get(name, 0.0),
                gathered=cost.gathered.get(name, 0.0),
            )
    return found


def arithmetic_seconds(flops: dict[str, float], spec: DeviceSpec) -> float | None:
    """flops: by number format."""
    if not flops.keys() <= spec.peaks.keys():
        return None
    return sum(work / spec.peaks[form] for form, work in flops.items())


def step_seconds(cost: Cost) -> tuple[float, float]:
    """(least, most): without any pass or branch that data may leave out, and with all of them; of what is known."""
    return cost.least_seconds, sum(cost.seconds.values())


def utilization(cost: Cost, needed_flops: float, spec: DeviceSpec) -> float | None:
    """Share of the peak of its number formats at which the step does what the method needs, when it takes most time.

    needed_flops: of a device; the share of it in each format is taken as that of the compiled products.
    """
    least = [part.arithmetic for part in by_part(cost, spec).values()]
    _, seconds = step_seconds(cost)
    if None in least or not seconds or not cost.flops:
        return None
    return sum(least) * needed_flops / cost.flops / seconds
