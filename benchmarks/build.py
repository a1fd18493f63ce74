"""Key frames a second, and memory, of `data_prep.build` on photographs of full size.

    python -m benchmarks.build --images=FOLDER --scenes=9 --workers=1,2

The root is made of the first scenes of the mini world, in a temporary folder: its images are the JPEG files of FOLDER by turns,
and each of its seven sensors has eleven sweeps between two key frames, so that a scene has as many rows as in nuScenes. For
each number of processes it is built anew, in turns. JSON on stdout: seconds of the check and of all that follows it, key frames
a second of the latter, by the clock and by the processors' time, and the memory of the command and of its largest worker.
"""

import contextlib
import itertools
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

from absl import flags

from benchmarks import measure
from dima_jax import cli
from dima_jax.errors import UserError

SOURCE = flags.DEFINE_string("source", "data/miniworld", "Folder of a mini world with cameras.")
IMAGES = flags.DEFINE_string("images", None, "Folder of JPEG files of one size.", required=True)
SCENES = flags.DEFINE_integer("scenes", 9, "Scenes.", lower_bound=1)
WORKERS = flags.DEFINE_list("workers", ["1", "2"], "Numbers of processes.")
TURNS = flags.DEFINE_integer("turns", 1, "Turns.", lower_bound=1)
VERSION, SWEEPS = "v1.0-miniworld", 11


def make(root: Path, source: Path, count: int, files: list[Path]) -> int:
    """Writes the root; returns its key frames."""
    tables = {path.stem: json.loads(path.read_text()) for path in (source / VERSION).glob("*.json")}
    scenes = tables["scene"] = tables["scene"][:count]
    if len(scenes) < count:
        raise UserError(f"--source={source} has {len(scenes)} scenes; give fewer --scenes, or a larger mini world")
    logs = {row["log_token"] for row in scenes}
    keep(tables, "log", "token", logs)
    for row in tables["map"]:
        row["log_tokens"] = [token for token in row["log_tokens"] if token in logs]
    samples = keep(tables, "sample", "scene_token", {row["token"] for row in scenes})
    keep(tables, "sample_annotation", "sample_token", samples)
    keep(tables, "instance", "token", {row["instance_token"] for row in tables["sample_annotation"]})
    keep(tables, "sample_data", "sample_token", samples)
    photographs(root, tables, files)
    tables["sample_data"], tables["ego_pose"] = with_sweeps(tables)
    names = {row["name"] for row in scenes}
    tables["splits"] = {"miniworld_train": sorted(names)}
    (root / VERSION).mkdir()
    for name, rows in tables.items():
        (root / VERSION / f"{name}.json").write_text(json.dumps(rows))
    (root / "maps").symlink_to((source / "maps").absolute())
    (root / "can_bus").mkdir()
    for path in (source / "can_bus").iterdir():
        if path.name.rsplit("_", 1)[0] in names:
            (root / "can_bus" / path.name).symlink_to(path.absolute())
    return len(samples)


def keep(tables: dict, name: str, key: str, wanted: set[str]) -> set[str]:
    """Leaves the rows of a table whose `key` is wanted; returns their tokens."""
    tables[name] = [row for row in tables[name] if row[key] in wanted]
    return {row["token"] for row in tables[name]}


def photographs(root: Path, tables: dict, files: list[Path]) -> None:
    """Links the files where the tables name images, and changes sizes and intrinsics to theirs."""
    from data_prep import jpeg

    height, width = jpeg.shape(files[0].read_bytes())
    turns, old = itertools.cycle(files), 1
    for row in tables["sample_data"]:
        if row["fileformat"] == "jpg":
            path = root / row["filename"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(next(turns).absolute())
            old, row["height"], row["width"] = row["width"], height, width
    for row in tables["calibrated_sensor"]:
        matrix = row["camera_intrinsic"]
        row["camera_intrinsic"] = [[x * width / old for x in line] for line in matrix[:2]] + matrix[2:]


def with_sweeps(tables: dict) -> tuple[list[dict], list[dict]]:
    """Rows of sample_data and ego_pose with SWEEPS between a key row and the next of its sensor."""
    poses = {row["token"]: row for row in tables["ego_pose"]}
    chains: dict[tuple[str, str], list[dict]] = {}
    scene_of = {row["token"]: row["scene_token"] for row in tables["sample"]}
    for row in tables["sample_data"]:
        chains.setdefault((scene_of[row["sample_token"]], row["calibrated_sensor_token"]), []).append(row)
    data, every_pose = [], []
    for chain in chains.values():
        chain = sorted(chain, key=lambda row: row["timestamp"])
        whole = []
        for row, after in zip(chain, [*chain[1:], None], strict=True):
            whole.append(row)
            every_pose.append(first := poses[row["ego_pose_token"]])
            for i in range(1, SWEEPS + 1) if after else ():
                last, part = poses[after["ego_pose_token"]], i / (SWEEPS + 1)
                token = f"{row['token']}-{i}"
                stamp = round(row["timestamp"] + part * (after["timestamp"] - row["timestamp"]))
                place = [a + part * (b - a) for a, b in zip(first["translation"], last["translation"], strict=True)]
                name = row["filename"].replace("samples/", "sweeps/").replace(str(row["timestamp"]), str(stamp))
                every_pose.append(first | {"token": token, "timestamp": stamp, "translation": place})
                changes = {"token": token, "ego_pose_token": token, "timestamp": stamp, "filename": name}
                whole.append(row | changes | {"is_key_frame": False})
        tokens = ["", *(row["token"] for row in whole), ""]
        data += [row | {"prev": tokens[i], "next": tokens[i + 2]} for i, row in enumerate(whole)]
    return data, every_pose


class Measured(NamedTuple):
    """check_s, rest_s: seconds; rest_cpu_s: of all processes together; command_gib, largest_worker_gib: peak memory."""

    check_s: float
    rest_s: float
    rest_cpu_s: float
    command_gib: float
    largest_worker_gib: float


def build(root: str, out: str, workers: int, result) -> None:
    """In a process of its own: sends what is `Measured`."""
    from data_prep import builder
    from data_prep.root_check import checking

    check, checked = checking.check, []

    def timed(*arguments):
        report = check(*arguments)
        checked.append(clocks())
        return report

    checking.check = timed
    done, found = threading.Event(), []
    threading.Thread(target=watch, args=(done, found), daemon=True).start()
    start = clocks()
    builder.build(root, VERSION, "", out, workers)
    forkserver._forkserver._stop()  # else the time of its processes is not counted; there is no public way
    end = clocks()
    done.set()
    rest, cpu = (now - then for now, then in zip(end, checked[0], strict=True))
    result.send(Measured(checked[0][0] - start[0], rest, cpu, measure.peak_memory_gib(), max(found, default=0.0)))


def watch(done: threading.Event, found: list[float]) -> None:
    """Adds the peak memory of every process that this one has started, in GiB, until it is done."""
    while not done.wait(0.1):
        for child in multiprocessing.active_children():
            with contextlib.suppress(OSError, StopIteration):  # it has just ended
                found.append(measure.peak_of(child.pid))


def clocks() -> tuple[float, float]:
    return time.perf_counter(), measure.cpu_seconds()


def measured(root: Path, workers: int) -> Measured:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=root.parent) as out:
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=build, args=(str(root), out, workers, there))
        process.start()
        there.close()
        try:
            return here.recv()
        except EOFError:
            raise UserError(f"the build with {workers} workers failed; its error is above") from None
        finally:
            process.join()


def main() -> None:
    files = sorted(Path(IMAGES.value).rglob("*.jpg"))
    if not files:
        raise UserError(f"--images={IMAGES.value}: no *.jpg in that folder; give one that has some")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        frames = make(root, Path(SOURCE.value), SCENES.value, files)
        turns = [{number: measured(root, int(number)) for number in WORKERS.value} for _ in range(TURNS.value)]
    found = {}
    for number in WORKERS.value:
        one = Measured(*map(statistics.median, zip(*(turn[number] for turn in turns), strict=True)))
        rates = dict(key_frames_per_s=frames / one.rest_s, key_frames_per_cpu_s=frames / one.rest_cpu_s)
        found[number] = one._asdict() | rates
    measure.print_json(
        benchmark="build",
        scenes=SCENES.value,
        key_frames=frames,
        turns=TURNS.value,
        bytes_of_an_image=sum(path.stat().st_size for path in files) // len(files),
        by_workers=found,
    )


if __name__ == "__main__":
    cli.run(main)
