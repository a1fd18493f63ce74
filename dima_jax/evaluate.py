"""Drives the student through a split, frame by frame with its own previous BEV, and prints the planning tables.

    python -m dima_jax.evaluate                                    the student of the last run, with that run's config
    python -m dima_jax.evaluate --checkpoint=runs/base --figures=4 --blank_images
    python -m dima_jax.evaluate --checkpoint=runs/base --dual           beside it, student and teacher together

Every number is printed with its protocol's name, the sample count and the seed, beside control planners that see
nothing: the recorded path, constant velocity, going straight; with --blank_images also the same student fed black
images; with --dual also DiMA-Dual and the teacher alone, which need the LLM in every frame. Writes the same as JSON
(--out), and one picture per scene for the first --figures scenes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from dima_jax import checkpoints, cli, figures, weights
from dima_jax.constants import CAMERAS, COMMANDS, STEP_SECONDS
from dima_jax.data import sequences
from dima_jax.errors import UserError
from dima_jax.metrics import decode, perception, planning
from dima_jax.student import student as student_lib
from dima_jax.types import StudentOutput


class Drive(NamedTuple):
    """One driven frame. plans: [F, 2] meters by planner; recorded: the recorded path; seen, recorded_seen: (agents, lines)."""

    frame: sequences.DriveFrame
    plans: dict[str, np.ndarray]
    recorded: np.ndarray
    seen: tuple[decode.Agents, decode.Lines]
    recorded_seen: tuple[decode.Agents, decode.Lines]


def main() -> None:
    run = Path(CHECKPOINT.value) if CHECKPOINT.value else checkpoints.latest_run()
    saved, params, meta = checkpoints.load_student(run)
    config = CONFIG.value or saved
    checkpoints.check_model(meta["config"], config, str(run), checkpoints.STUDENT_KEYS)
    split = SPLIT.value or config.data.val_split
    dual = load_dual(run, config) if DUAL.value else None
    folder = run / "figures"
    result = evaluate(config, params, split, blank=BLANK.value, num_figures=FIGURES.value, folder=folder, dual=dual)
    result |= {"checkpoint": str(run), "step": meta["step"], "seed": config.seed, "split": split}
    out = Path(OUT.value) if OUT.value else run / "evaluation.json"
    out.write_text(json.dumps(result, indent=2))
    print_tables(result)
    print(f"the same as JSON: {out}")
    if FIGURES.value:
        print(f"pictures: {run / 'figures'}")


def evaluate(
    config: ConfigDict, params: weights.Params, split: str, *, blank: bool, num_figures: int, folder: Path, dual=None
) -> dict:
    """{"planning": {subset: {planner: {protocol: row}}}, "student": {...}}; draws `num_figures` scenes into `folder`.

    dual: `load_dual`, or None.
    """
    students = {"student": lambda images: images} | ({"student, blank images": np.zeros_like} if blank else {})
    scores: dict[str, list] = {}
    subsets: dict[str, list[bool]] = {"all frames": [], "turning frames": []}
    drawn: dict[str, Drive] = {}
    perceived = []
    for drive in run_students(config, params, split, students, dual):
        perceived.append(perception.score_frame(*drive.seen, *drive.recorded_seen, config.student.pc_range))
        occupied = planning.occupancy(*agents_of(drive.frame))
        for name, waypoints in drive.plans.items():
            score = planning.score_frame(waypoints, drive.recorded, occupied, counted=drive.frame.future_valid)
            scores.setdefault(name, []).append(score)
        mark_subsets(subsets, drive.frame)
        choose_figure(drawn, drive, num_figures)
    if not scores:
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    for drive in drawn.values():
        draw(drive, config, folder)
    tables = {
        subset: {name: planning.summarize(rows, mask) for name, rows in scores.items()}
        for subset, mask in subsets.items()
    }
    return {
        "planning": tables,
        "perception": perception.summarize(perceived),
        "protocols": planning.PROTOCOLS | perception.PROTOCOLS,
        "student": {"weights": weights.count(params)},
    } | ({"dual": {"teacher_weights": dual.teacher_weights}} if dual else {})


def load_dual(run: Path, config: ConfigDict):
    """A `dual.Dual`. The one place where the teacher is imported: without --dual evaluation is the student alone."""
    from dima_jax.dual import Dual

    return Dual(run, config)


def run_students(config: ConfigDict, params: weights.Params, split: str, students: dict[str, Callable], dual=None):
    """Yields a Drive per key frame. students: {name: what happens to the images first}. dual: as in `evaluate`."""
    graph, _ = student_lib.abstract(config)
    params = {path.removeprefix("student/"): value for path, value in params.items()}

    @jax.jit
    def predict(params, frame, prev_bev, has_prev_bev):
        return weights.bind(graph, params)(frame, prev_bev, has_prev_bev)

    shape = (1, config.student.bev_shape[0] * config.student.bev_shape[1], config.student.width)
    empty = jax.device_put(np.zeros(shape, np.float32), next(iter(params.values())).sharding)  # where later ones are
    bevs, previous = dict.fromkeys(students, empty), None
    frames = sequences.Drives(config, split)
    for frame in tqdm(sequences.iterate_scenes(config, split), total=len(frames), unit="frame", dynamic_ncols=True):
        plans, outputs = {}, {}
        for name, change in students.items():
            seen = frame.frame.replace(images=change(frame.frame.images))
            output = predict(params, seen, bevs[name], np.array([not frame.is_first]))
            bevs[name], outputs[name] = output.tokens.bev, output
            plans[name] = path_of(output.ego_offsets, frame.command)
        if dual is not None:
            plans |= {name: path_of(offsets, frame.command) for name, offsets in dual(outputs["student"]).items()}
        recorded = np.cumsum(frame.ego.future_offsets[0], axis=0)
        plans |= control_plans(frame, previous, recorded)
        previous = frame
        seen = decode_student(outputs["student"], config.student.pc_range)
        yield Drive(frame, plans, recorded, seen, recorded_seen(frame))


def path_of(offsets, command: int) -> np.ndarray:
    """Positions [F, 2] in meters for a command, of offsets [1, R, F, 2]."""
    return np.cumsum(np.asarray(offsets)[0, command], axis=0)


def decode_student(output: StudentOutput, pc_range) -> tuple[decode.Agents, decode.Lines]:
    """Agents and map lines of the last decoder layer, batch element 0."""
    agents = decode.decode_agents(
        output.agent_logits[-1, 0],
        output.agent_codes[-1, 0],
        output.agent_future_offsets[0],
        output.agent_mode_logits[0],
    )
    return agents, decode.decode_lines(output.map_logits[-1, 0], output.map_points[-1, 0], pc_range)


def recorded_seen(frame: sequences.DriveFrame) -> tuple[decode.Agents, decode.Lines]:
    return decode.recorded_agents(frame.agents, 0), decode.recorded_lines(frame.map, 0)


def control_plans(frame: sequences.DriveFrame, previous, recorded: np.ndarray) -> dict[str, np.ndarray]:
    """Plans that need no camera: {name: [F, 2]}.

    Velocity is the move since the previous key frame; in the first frame of a scene, the CAN bus speed straight ahead.
    """
    step = np.array([0.0, frame.speed * STEP_SECONDS])
    if not frame.is_first:
        here = np.linalg.inv(frame.lidar2global) @ previous.lidar2global[:, 3]
        step = -here[:2]
    times = np.arange(1, len(recorded) + 1)[:, None]
    return {
        "recorded path": recorded,
        "constant velocity": times * step,
        "go straight": times * np.array([0.0, np.linalg.norm(step)]),
    }


def agents_of(frame: sequences.DriveFrame) -> tuple:
    """Real agents as `planning.occupancy` wants them."""
    agents, mask = frame.agents, frame.agents.mask[0]
    fields = (agents.boxes, agents.category, agents.future_offsets, agents.future_mask, agents.future_yaw)
    return tuple(np.asarray(field[0])[mask] for field in fields)


def mark_subsets(subsets: dict[str, list[bool]], frame: sequences.DriveFrame) -> None:
    """Appends whether the frame belongs to each subset; a tag seen for the first time starts a subset of its own."""
    seen = len(subsets["all frames"])
    for tag in frame.tags:
        subsets.setdefault(f"scenes with {tag}", [False] * seen)
    for name, mask in subsets.items():
        member = {"all frames": True, "turning frames": COMMANDS[frame.command] != "straight"}
        mask.append(member.get(name, name.removeprefix("scenes with ") in frame.tags))


def choose_figure(drawn: dict[str, Drive], drive: Drive, scenes: int) -> None:
    """Keeps, of each of the first `scenes` scenes, the frame whose recorded path goes farthest to a side."""
    scene, side = drive.frame.scene, np.abs(drive.recorded[-1, 0])
    if not drive.frame.future_valid or (scene not in drawn and len(drawn) >= scenes):
        return
    if scene not in drawn or side > np.abs(drawn[scene].recorded[-1, 0]):
        drawn[scene] = drive


def draw(drive: Drive, config: ConfigDict, folder: Path) -> None:
    """Writes folder/<scene>.png: cameras with boxes and plan, and the view from above."""
    frame = drive.frame
    images = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for jpeg in frame.jpegs]
    figures.draw_scene(
        folder / f"{frame.scene}.png",
        images=dict(zip(CAMERAS, images, strict=True)),
        lidar2img=dict(zip(CAMERAS, frame.camera_matrices, strict=True)),
        plans={name: plan for name, plan in drive.plans.items() if name.startswith("student")},
        recorded_path=drive.recorded,
        recorded_agents=drive.recorded_seen[0],
        recorded_lines=drive.recorded_seen[1],
        agents=drive.seen[0],
        lines=drive.seen[1],
        pc_range=config.student.pc_range,
        title=f"{frame.scene}, frame {frame.frame_index}, command {COMMANDS[frame.command]}",
    )


def print_tables(result: dict) -> None:
    console = Console(width=max(Console().width, 130))
    where = f"split {result['split']}, seed {result['seed']}"
    for protocol in planning.PROTOCOLS:
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
        console.print(table)
    for name, row in result["perception"].items():
        values = ", ".join(f"{key} {value:.3g}" for key, value in row.items())
        console.print(f"{name}, protocol {result['protocols'][name]}, {where}: {values}", highlight=False)
    console.print(f"student: {result['student']['weights']:,} weights, step {result['step']} of {result['checkpoint']}")
    if "dual" in result:
        extra = result["dual"]["teacher_weights"]
        console.print(f"planners with the LLM: the teacher's {extra:,} weights run as well, in every frame")


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config()
    CHECKPOINT = flags.DEFINE_string(
        "checkpoint", None, "Folder of a run, or of one of its steps; default: the last run."
    )
    SPLIT = flags.DEFINE_string("split", None, "Split to drive; default: the config's val split.")
    BLANK = flags.DEFINE_boolean("blank_images", False, "Add the row of the same student fed black images.")
    DUAL = flags.DEFINE_boolean(
        "dual", False, "Add DiMA-Dual, student and teacher together, and the teacher alone: the LLM in every frame."
    )
    FIGURES = flags.DEFINE_integer("figures", 0, "Draw one frame of each of the first N scenes.")
    OUT = flags.DEFINE_string("out", None, "JSON of all tables; default: evaluation.json in the checkpoint's folder.")
    cli.run(main)
