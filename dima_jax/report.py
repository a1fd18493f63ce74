"""What an evaluation shows: tables on the terminal, pictures of single frames."""

import math
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from dima_jax import figures, output_files
from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.driving import Drive
from dima_jax.metrics import bootstrap, planning

COLUMNS = ("1 s", "2 s", "3 s", "avg")
KEYS = ("1s", "2s", "3s", "avg")
INTERVALS_OF = "stp3-vad"  # the protocol


def draw(driven: Drive, pc_range: tuple[float, ...], folder: Path, name: str = "", note: str = "") -> None:
    """Writes folder/<name>.png: cameras with boxes and plan, and the view from above.

    name: that of the scene if not given; note: is put before the title.
    """
    frame = driven.frame
    images = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for jpeg in frame.jpegs]
    title = f"{frame.scene}, frame {frame.frame_index}, command {COMMANDS[frame.command]}"
    figures.draw_scene(
        folder / f"{output_files.file_name(name or frame.scene)}.png",
        images=dict(zip(CAMERAS, images, strict=True)),
        lidar2img=dict(zip(CAMERAS, frame.camera_matrices, strict=True)),
        plans={name: plan for name, plan in driven.plans.items() if name.startswith("student")},
        recorded_path=driven.recorded_path,
        recorded_agents=driven.recorded[0],
        recorded_lines=driven.recorded[1],
        agents=driven.predicted[0],
        lines=driven.predicted[1],
        pc_range=pc_range,
        title=f"{note}: {title}" if note else title,
    )


def print_tables(result: dict) -> None:
    """Prints `evaluation.Scores.result` with the keys that the command adds: split, seed, checkpoint, step."""
    console = Console(width=max(Console().width, 130))
    where = f"split {result['split']}, seed {result['seed']}"
    console.print(_perception_table(result, where))
    for protocol in planning.PROTOCOLS:
        console.print(_planning_table(result, protocol, where))
    console.print(_difference_table(result, where))
    console.print(_motion_table(result, where))
    for name, row in result["perception"].items():
        values = ", ".join(f"{key} {_number(value, '.3g')}" for key, value in row.items())
        console.print(f"{name}, protocol {result['protocols'][name]}, {where}: {values}", highlight=False)
    if "blind" in result:
        blind = result["blind"]
        seeds = [*blind["l2_avg_of_seeds"].values()]
        console.print(
            f"{blind['planner']}: fitted on {blind['frames']} frames in {blind['seconds']:.1f} s; its row is the fit of "
            f"seed {next(iter(blind['l2_avg_of_seeds']))}; L2 avg of {len(seeds)} seeds {np.mean(seeds):.3f} m, standard "
            f"deviation {np.std(seeds, ddof=1):.3f} m",
            highlight=False,
        )
    console.print(f"student: {result['student']['weights']:,} weights, step {result['step']} of {result['checkpoint']}")
    if "dual" in result:
        extra = result["dual"]["teacher_weights"]
        console.print(f"planners with the LLM: the teacher's {extra:,} weights run as well, in every frame")


def _perception_table(result: dict, where: str) -> Table:
    """The classes that count, each with its interval."""
    intervals = result["intervals"]["perception"]
    frames = result["perception"]["detection"]["frames"]
    table = Table(
        title=f"what it finds, {where}: {frames} frames of {intervals['scenes']} scenes", title_justify="left"
    )
    for column in ("protocol", "class"):
        table.add_column(column)
    for column in ("AP", "95 %"):
        table.add_column(column, justify="right")
    for task, classes in bootstrap.HEADLINES.items():
        for i, name in enumerate(classes):
            key = f"AP_{name}"
            value, interval = result["perception"][task][key], _interval(intervals[task][key])
            title = f"{task}: {result['protocols'][task]}" if i == 0 else ""
            table.add_row(title, name.replace("_", " "), _number(value, ".3f"), interval)
        table.add_section()
    return table


def _planning_table(result: dict, protocol: str, where: str) -> Table:
    title = f"planning, protocol {protocol} ({result['protocols'][protocol]}), {where}"
    table = Table(title=title, title_justify="left")
    table.add_column("planner")
    for unit in ("L2 m", "coll. %"):
        for column in COLUMNS:
            table.add_column(f"{unit}\n{column}", justify="right")
    with_intervals = protocol == INTERVALS_OF
    if with_intervals:
        table.add_column("L2 avg\n95 %", justify="right")
    for subset, planners in result["planning"].items():
        table.add_row(_subset(result, subset))
        for name, protocols in planners.items():
            row = protocols[protocol]
            cells = [_number(row[f"l2_{key}"], ".2f") for key in KEYS]
            cells += [_number(row[f"collision_{key}"], ".2f", 100) for key in KEYS]
            if with_intervals:
                cells.append(_interval(result["intervals"]["planning"][subset]["l2_avg"][name]))
            table.add_row(name, *cells)
        table.add_section()
    return table


def _difference_table(result: dict, where: str) -> Table:
    title = f"student minus ..., L2 m, protocol {INTERVALS_OF}, {where}; 95 %, * = the interval excludes zero"
    table = Table(title=title, title_justify="left")
    table.add_column("student minus")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for subset, found in result["intervals"]["planning"].items():
        if found["scenes"]:
            table.add_row(_subset(result, subset))
            for name, columns in found["student_minus"].items():
                if name != "recorded path":  # the difference to it is the student's L2
                    table.add_row(name, *(_difference(**columns[key]) for key in KEYS))
            table.add_section()
    return table


def _motion_table(result: dict, where: str) -> Table:
    """The student's motion beside the predictor that leaves every agent where it is."""
    table = Table(title=f"motion ({result['protocols']['motion']}), {where}", title_justify="left")
    table.add_column("predictor")
    rows = {name: result["perception"][name] for name in ("motion", "zero motion")}
    columns = [key for key in rows["motion"] if key != "frames"]
    for column in columns:
        metric, _, kind = column.partition("_")
        table.add_column(f"{kind}\n{metric}", justify="right")
    for title, row in (("student", rows["motion"]), ("zero motion", rows["zero motion"])):
        table.add_row(title, *(_number(row[column], ".3f") for column in columns))
    return table


def _subset(result: dict, subset: str) -> str:
    frames = result["planning"][subset]["student"][INTERVALS_OF]["frames"]
    scenes = result["intervals"]["planning"][subset]["scenes"]
    return f"[bold]{subset}[/]\n{frames} frames, {scenes} {'scene' if scenes == 1 else 'scenes'}"


def _number(value: float | None, form: str, scale: float = 1) -> str:
    """A number times `scale`; "n/a" where it is not defined."""
    return "n/a" if value is None or not math.isfinite(value) else format(scale * value, form)


def _interval(ends: list[float] | None) -> str:
    return "< 2 scenes" if ends is None else f"{ends[0]:.2f} .. {ends[1]:.2f}"


def _difference(difference: float, interval: list[float] | None) -> str:
    excludes_zero = interval is not None and (interval[0] > 0 or interval[1] < 0)
    return f"{difference:+.2f} ({_interval(interval)}){'*' if excludes_zero else ' '}"
