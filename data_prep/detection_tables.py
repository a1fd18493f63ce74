"""What `nuscenes_detection` prints: every score, the classes, and what to know when reading them."""

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

TITLES = {
    "nuscenes": "nuScenes detection score (detection_cvpr_2019: agents up to 50, 40 or 30 m by class)",
    "vad_range": "the same in VAD's range (30 m along and 15 m across the ego, predictions from a score of 0.2)",
    "vad_range_as_coded": "the same as VAD's code cuts it: annotations along the global axes, predictions along both",
}


def print_all(told: dict) -> None:
    """Prints the content of nuscenes_detection.json."""
    console = Console(width=max(Console().width, 130))
    where = f"{told['planner']} ({told['file']}), {told['root']}, split {told['split']}, {told['samples']:,} samples"
    for protocol, score in told["scores"].items():
        console.print()
        console.print(escape(f"{TITLES[protocol]}; {where}"), highlight=False)
        console.print(_classes(score))
        console.print(f"NDS {_line(score['numbers'])}", highlight=False)
        annotated = sum(one["annotated"] > 0 for one in score["classes"].values())
        if annotated < len(score["classes"]):
            console.print(
                f"over the {annotated} classes that are annotated (nuScenes counts the others as AP 0, errors 1): NDS "
                f"{_line(score['present'])}",
                highlight=False,
            )
        if not math.isnan(score["outside"]):
            console.print(
                f"{100 * score['outside']:.0f} % of these annotated agents lie outside of the range that the student looks at",
                highlight=False,
            )
    console.print()
    console.print(
        "Counted are agents with LiDAR or radar points. Attributes are chosen by speed, so AAE says how often that rule "
        "is right. No intervals.",
        highlight=False,
    )


def _classes(score: dict) -> Table:
    table = Table()
    table.add_column("class")
    for column in next(iter(score["classes"].values())):
        table.add_column(column, justify="right")
    for name, row in score["classes"].items():
        cells = [f"{value:,}" if isinstance(value, int) else _number(value) for value in row.values()]
        table.add_row(name.replace("_", " "), *cells)
    return table


def _line(numbers: dict[str, float]) -> str:
    nds, *rest = numbers.items()
    return ", ".join([_number(nds[1]), *(f"{name} {_number(value)}" for name, value in rest)])


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else format(value, ".3f")
