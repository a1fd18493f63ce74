"""What an evaluation shows beside the tables of the protocols: perception on the terminal, pictures of single frames."""

import math
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from dima_jax import figures, highlights, output_files
from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.data.sequences import Drives
from dima_jax.detections import recorded_agents, recorded_lines
from dima_jax.driving import STUDENT, Drive
from dima_jax.evaluation import Evaluation
from dima_jax.metrics import bootstrap
from dima_jax.scoring import tables

L2_OF = "stp3_vad"  # the protocol by whose distances pictures are chosen


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
        recorded_path=np.cumsum(frame.ego.future_offsets[0], axis=0),
        recorded_agents=recorded_agents(frame.agents, 0),
        recorded_lines=recorded_lines(frame.map, 0),
        agents=driven.predicted[0],
        lines=driven.predicted[1],
        pc_range=pc_range,
        title=f"{note}: {title}" if note else title,
    )


def draw_chosen(found: Evaluation, drives: Drives, folder: Path, count: int) -> None:
    """Draws the `count` worst frames and a usual one (`highlights.chosen`), without the audit's rows.

    drives: of the split that was evaluated.
    """
    scored = found.scored[L2_OF]
    columns = [i for i, column in enumerate(scored.definition.columns) if column.quantity == "l2"]
    l2 = scored.value[found.plans.names.index(STUDENT)][:, columns].mean(axis=1)
    shown = [name for name, header in found.headers.items() if header["kind"] != "audit"]
    for picture in highlights.chosen(l2, found.truth.scene, count):
        token = str(found.truth.tokens[picture.frame])
        row = found.driven.tokens.index(token)
        plans = {name: found.driven.plans[name][row] for name in shown}
        driven = Drive(
            drives[drives.records.samples.index(token)], plans, (found.driven.agents[row], found.driven.lines[row])
        )
        draw(driven, drives.pc_range, folder, picture.name, picture.note)


def print_tables(result: dict) -> None:
    """Prints the content of scores.json with what was found, under "perception" (`evaluation.perceive`), first."""
    console = Console(width=max(Console().width, tables.WIDTH))
    found = result["perception"]
    where = f"split {result['header']['truth']['split']}, seed {result['planners'][0]['seed']}"
    console.print(_perception_table(found, where))
    console.print(_motion_table(found, where))
    for name in found["protocols"]:
        values = ", ".join(f"{key} {_number(value, '.3g')}" for key, value in found["scores"][name].items())
        console.print(f"{name}, protocol {found['protocols'][name]}, {where}: {values}", highlight=False)
    tables.print_all(result, console)


def _perception_table(found: dict, where: str) -> Table:
    """The classes that count, each with its interval."""
    intervals = found["intervals"]
    frames, scenes = found["coverage"]["scored"], found["scenes"]
    table = Table(title=f"what it finds, {where}: {frames} frames of {scenes} scenes", title_justify="left")
    for column in ("protocol", "class"):
        table.add_column(column)
    for column in ("AP", "95 %"):
        table.add_column(column, justify="right")
    for task, classes in bootstrap.HEADLINES.items():
        for i, name in enumerate(classes):
            key = f"AP_{name}"
            value, interval = found["scores"][task][key], _interval(intervals[task][key])
            title = f"{task}: {found['protocols'][task]}" if i == 0 else ""
            table.add_row(title, name.replace("_", " "), _number(value, ".3f"), interval)
        table.add_section()
    return table


def _motion_table(found: dict, where: str) -> Table:
    """The student's motion beside the predictor that leaves every agent where it is."""
    table = Table(title=f"motion ({found['protocols']['motion']}), {where}", title_justify="left")
    table.add_column("predictor")
    scores = found["scores"]
    columns = [key for key in scores["motion"] if key != "frames"]
    for column in columns:
        metric, _, kind = column.partition("_")
        table.add_column(f"{kind}\n{metric}", justify="right")
    for title, row in (("student", scores["motion"]), ("zero motion", scores["zero motion"])):
        table.add_row(title, *(_number(row[column], ".3f") for column in columns))
    return table


def _number(value: float | None, form: str) -> str:
    """The number; "n/a" where it is not defined."""
    return "n/a" if value is None or not math.isfinite(value) else format(value, form)


def _interval(ends: list[float] | None) -> str:
    return "< 2 scenes" if ends is None else f"{ends[0]:.2f} .. {ends[1]:.2f}"
