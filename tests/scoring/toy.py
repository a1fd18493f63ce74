"""A protocol for tests: distances, "collisions" where a plan is more than 2 m off, and nothing of agents."""

import numpy as np

from dima_jax.metrics.protocols import registry
from dima_jax.metrics.protocols.base import Column, Definition, Protocol, Steps


class Toy(Protocol):
    definition = Definition(
        name="toy",
        version=1,
        title="distance alone",
        source="tests",
        frames="all",
        quantities={"l2": "m", "collision": "share"},
        columns=(
            Column("l2_1s", "l2", (0, 1), "mean"),
            Column("l2_2s", "l2", (0, 1, 2, 3), "mean"),
            Column("l2_3s", "l2", (0, 1, 2, 3, 4, 5), "mean"),
            Column("any_3s", "collision", (0, 1, 2, 3, 4, 5), "any"),
        ),
        averages={"l2_avg": ("l2_1s", "l2_2s", "l2_3s")},
        mask_rule="none",
        constants={"far": 2.0},
        needs=(),
    )
    grids = ()

    def frame(self, frame, grids, lidar, ego, l2):
        known = np.broadcast_to(frame.known, l2.shape)
        values = {"l2": l2, "collision": (l2 > 2.0).astype(float)}
        return Steps(values, dict.fromkeys(values, known), np.where(l2 > 2.0, 0, -1), np.zeros(6, bool))


class Mapped(Toy):
    """Needs what a truth may lack."""

    definition = Toy.definition._replace(name="mapped", needs=("areas",))


TOY, MAPPED = Toy(), Mapped()


def register(monkeypatch) -> None:
    """Makes the two the only protocols."""
    names = {"toy": "tests.scoring.toy:TOY", "mapped": "tests.scoring.toy:MAPPED"}
    monkeypatch.setattr(registry, "PROTOCOLS", names)
