"""Pictures of single frames of an evaluation."""

from pathlib import Path

import cv2
import numpy as np

from dima_jax import figures, highlights, output_files
from dima_jax.constants import COMMANDS
from dima_jax.data.sequences import Drives
from dima_jax.detections import recorded_agents, recorded_lines
from dima_jax.driving import STUDENT, Drive
from dima_jax.evaluation import Evaluation
from dima_jax.scoring import audit

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
        images=dict(zip(frame.cameras, images, strict=True)),
        lidar2img=dict(zip(frame.cameras, frame.camera_matrices, strict=True)),
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
    shown = [name for name, header in found.headers.items() if header["kind"] != audit.KIND]
    for picture in highlights.chosen(l2, found.truth.scene, count):
        token = str(found.truth.tokens[picture.frame])
        row = found.driven.tokens.index(token)
        plans = {name: found.driven.plans[name][row] for name in shown}
        driven = Drive(drives[drives.records.samples.index(token)], plans, found.perceived.frame(row))
        draw(driven, drives.pc_range, folder, picture.name, picture.note)
