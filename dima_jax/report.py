"""What an evaluation shows: tables on the terminal, one picture per scene."""

from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from dima_jax import figures
from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.evaluation import Drive
from dima_jax.metrics import planning


def draw(driven: Drive, pc_range: tuple[float, ...], folder: Path) -> None:
    """Writes folder/<scene>.png: cameras with boxes and plan, and the view from above."""
    frame = driven.frame
    images = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for jpeg in frame.jpegs]
    figures.draw_scene(
        folder / f"{frame.scene}.png",
        images=dict(zip(CAMERAS, images, strict=True)),
        lidar2img=dict(zip(CAMERAS, frame.camera_matrices, strict=True)),
        plans={name: plan for name, plan in driven.plans.items() if name.startswith("student")},
        recorded_path=driven.recorded_path,
        recorded_agents=driven.recorded[0],
        recorded_lines=driven.recorded[1],
        agents=driven.predicted[0],
        lines=driven.predicted[1],
        pc_range=pc_range,
        title=f"{frame.scene}, frame {frame.frame_index}, command {COMMANDS[frame.command]}",
    )


def print_tables(result: dict) -> None:
    """Prints `evaluation.Scores.result` with the keys that the command adds: split, seed, checkpoint, step."""
    console = Console(width=max(Console().width, 130))
    where = f"split {result['split']}, seed {result['seed']}"
    for protocol in planning.PROTOCOLS:
        console.print(_planning_table(result, protocol, where))
    for name, row in result["perception"].items():
        values = ", ".join(f"{key} {value:.3g}" for key, value in row.items())
        console.print(f"{name}, protocol {result['protocols'][name]}, {where}: {values}", highlight=False)
    console.print(f"student: {result['student']['weights']:,} weights, step {result['step']} of {result['checkpoint']}")
    if "dual" in result:
        extra = result["dual"]["teacher_weights"]
        console.print(f"planners with the LLM: the teacher's {extra:,} weights run as well, in every frame")


def _planning_table(result: dict, protocol: str, where: str) -> Table:
    title = f"planning, protocol {protocol} ({result['protocols'][protocol]}), {where}"
    table = Table(title=title, title_justify="left")
    table.add_column("frames")
    table.add_column("planner")
    for unit in ("L2 m", "collision %"):
        for column in ("1 s", "2 s", "3 s", "avg"):
            table.add_column(f"{unit}\n{column}", justify="right")
    for subset, planners in result["planning"].items():
        for i, (name, protocols) in enumerate(planners.items()):
            row = protocols[protocol]
            cells = [f"{row[f'l2_{key}']:.2f}" for key in ("1s", "2s", "3s", "avg")]
            cells += [f"{100 * row[f'collision_{key}']:.2f}" for key in ("1s", "2s", "3s", "avg")]
            table.add_row(f"{subset} ({row['frames']})" if i == 0 else "", name, *cells)
        table.add_section()
    return table
