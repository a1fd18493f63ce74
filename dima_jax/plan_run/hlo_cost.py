"""What a compiled program costs a device, read from its optimized HLO text: the sum of its instructions' prices.

`cost_analysis()` counts the body of a loop once; here every computation counts as often as its callers run it. A loop's
trip count is what the compiler states, else what its condition compares with, else what the model expects
(`expected_work`); any other loop whose length depends on data counts once and is reported. Of a conditional the
costliest branch counts, and the cheapest for `least_seconds`.
"""

import functools
from typing import NamedTuple

from dima_jax import expected_work
from dima_jax.plan_run import collectives, parts, pricing
from dima_jax.plan_run.hlo import Instruction, called, loop, parse, trip_count

ONCE = ("unbounded_loops", "waiting_loops", "unknown")  # fields that count places in the program, not runs


class Cost(NamedTuple):
    """Of one device and run.

    products: {(part, number format): FLOPs}, 2 per multiply-add. sent: {collective: bytes sent over a ring}; collectives:
    calls. seconds, gather_seconds: {part: those that are known}; of these, of gathers and scatters. moved, gathered:
    {part: bytes of memory}. least_seconds: of all parts, where no branch is taken that can be avoided. unknown:
    {instruction: places}, whose time is not known and not in `seconds`; unknown_bytes: what they move.
    unbounded_loops: loops whose length depends on data, counted once. waiting_loops: loops whose length depends on data and
    in which devices wait for each other at every turn (`sharding.on_own_samples` keeps them apart).
    """

    products: dict[tuple[str, str], float]
    sent: dict[str, float]
    collectives: float
    seconds: dict[str, float]
    gather_seconds: dict[str, float]
    moved: dict[str, float]
    gathered: dict[str, float]
    least_seconds: float
    unknown: dict[str, int]
    unknown_bytes: float
    unbounded_loops: int
    waiting_loops: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(_sum(mine, others) for mine, others in zip(self, other, strict=True)))

    def times(self, n: int) -> "Cost":
        return Cost(*(x if key in ONCE else _scale(x, n) for key, x in zip(self._fields, self, strict=True)))

    @property
    def flops(self) -> float:
        return sum(self.products.values())


ZERO = Cost({}, {}, 0.0, {}, {}, {}, {}, 0.0, {}, 0.0, 0, 0)


def _sum(a, b):
    return {key: a.get(key, 0) + b.get(key, 0) for key in a | b} if isinstance(a, dict) else a + b


def _scale(x, n: int):
    return {key: n * value for key, value in x.items()} if isinstance(x, dict) else n * x


def cost(text: str, devices: int, kind: str = "cpu") -> Cost:
    """The cost of one run of a module, given as `compiled.as_text()`; devices: how many run it together; kind: of device
    (`devices.TARGETS`). A CPU has no seconds.
    """
    computations, entry = parse(text)

    @functools.cache
    def of_computation(name: str, caller: str) -> Cost:
        table = {instruction.name: instruction for instruction in computations[name]}
        return functools.reduce(Cost.__add__, (of_instruction(i, table, caller) for i in computations[name]), ZERO)

    def of_instruction(instruction: Instruction, table: dict[str, Instruction], caller: str) -> Cost:
        part = parts.of_instruction(instruction, table, computations, caller)
        if instruction.opcode == "while":
            return of_loop(instruction, part)
        if instruction.opcode == "conditional":
            branches = [of_computation(name, part) for name in called(instruction)]
            most = max(branches, key=lambda branch: (sum(branch.seconds.values()), branch.flops))
            return most._replace(least_seconds=min(branch.least_seconds for branch in branches))
        if instruction.opcode in ("call", "async-start"):
            return functools.reduce(Cost.__add__, (of_computation(name, part) for name in called(instruction)), ZERO)
        return of_price(instruction, table, part)

    def of_loop(instruction: Instruction, part: str) -> Cost:
        condition, body = loop(instruction)
        count = trip_count(instruction, computations[condition], computations[body])
        ends_with_data = count is None or expected_work.turns_of(instruction.op_name) is not None
        once = of_computation(body, part)
        waits = ends_with_data and once.collectives + of_computation(condition, part).collectives > 0
        found = ZERO._replace(unbounded_loops=int(count is None), waiting_loops=int(waits))
        return once.times(1 if count is None else count) + found

    def of_price(instruction: Instruction, table: dict[str, Instruction], part: str) -> Cost:
        price = pricing.price(instruction, table, computations, devices, kind)
        if price is pricing.FREE:
            return ZERO
        is_sent = collectives.is_collective(instruction)
        part = parts.COLLECTIVES if is_sent else part
        is_unknown = price.seconds is None and kind != "cpu"
        return Cost(
            products={(part, name): flops for name, flops in price.products.items()},
            sent=collectives.sent_bytes(instruction, table, devices),
            collectives=float(is_sent),
            seconds={part: price.seconds or 0.0},
            gather_seconds={part: price.gathers},
            moved={part: price.moved},
            gathered={part: price.gathered},
            least_seconds=price.seconds or 0.0,
            unknown={instruction.target or instruction.opcode: 1} if is_unknown else {},
            unknown_bytes=price.moved if is_unknown else 0.0,
            unbounded_loops=0,
            waiting_loops=0,
        )

    return of_computation(entry, parts.OTHER)
