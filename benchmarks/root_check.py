"""Seconds and memory of the check of a root of trainval's size, which is made of nothing but tables.

    python -m benchmarks.root_check --scenes=850 [--folder=DIR]

Tables as nuScenes v1.0-trainval has them: 40 key frames a scene, 12 sensors with sweeps (2.6 million rows of sample_data),
1.2 million annotations; empty image files, CAN bus files, a small map. DIR then takes 3 GB; it is used again if it is there.
JSON on stdout.
"""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from dima_jax import cli

SCENES = flags.DEFINE_integer("scenes", 850, "Scenes.", lower_bound=1)
FOLDER = flags.DEFINE_string("folder", "data/root_check", "Where the root is made.")
VERSION, LOCATION = "v1.0-large", "boston-seaport"
FRAMES, SWEEPS, BOXES = 40, 6, 34  # of a scene: key frames; of a sensor and a key frame; of a key frame
CHANNELS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT", "LIDAR_TOP",
            "RADAR_FRONT", "RADAR_FRONT_LEFT", "RADAR_FRONT_RIGHT", "RADAR_BACK_LEFT", "RADAR_BACK_RIGHT")  # fmt: skip
MODALITIES = {"CAM": "camera", "LIDAR": "lidar", "RADAR": "radar"}
HALF = 500_000  # microseconds between key frames
ROTATION = [0.8, 0.0, 0.0, 0.6]


def token(kind: str, *numbers: int) -> str:
    """32 characters, as nuScenes' tokens have."""
    return (kind + "".join(f"{number:06d}" for number in numbers)).ljust(32, "0")


def chain(kind: str, first: tuple[int, ...], i: int, count: int) -> dict:
    link = lambda k: token(kind, *first, k) if 0 <= k < count else ""  # noqa: E731
    return {"token": link(i), "prev": link(i - 1), "next": link(i + 1)}


def streams(scene: int) -> Iterator[tuple[dict, dict]]:
    """Rows of sample_data and ego_pose of one scene."""
    count = FRAMES * (1 + SWEEPS)
    for sensor, channel in enumerate(CHANNELS):
        for i in range(count):
            frame, sweep = divmod(i, 1 + SWEEPS)
            stamp = scene_start(scene) + frame * HALF + sweep * (HALF // (1 + SWEEPS))
            links = chain("d", (scene, sensor), i, count)
            folder = "sweeps" if sweep else "samples"
            camera = channel.startswith("CAM")
            name = f"{folder}/{channel}/log{scene:04d}__{channel}__{stamp}.{'jpg' if camera else 'pcd.bin'}"
            yield (
                links | {
                    "sample_token": token("s", scene, frame), "ego_pose_token": links["token"],
                    "calibrated_sensor_token": token("c", scene, sensor), "timestamp": stamp, "fileformat": "jpg",
                    "is_key_frame": not sweep, "height": 900 * camera, "width": 1600 * camera, "filename": name,
                },
                {"token": links["token"], "timestamp": stamp, "rotation": ROTATION,
                 "translation": [600.0 + 1e-6 * (stamp - scene_start(scene)), 1600.123456789, 0.0]},
            )  # fmt: skip


def scene_start(scene: int) -> int:
    return 1_500_000_000_000_000 + scene * 60_000_000


def boxes(scene: int) -> Iterator[dict]:
    for box, i in itertools.product(range(BOXES), range(FRAMES)):
        yield chain("a", (scene, box), i, FRAMES) | {
            "sample_token": token("s", scene, i), "instance_token": token("i", scene, box), "visibility_token": "4",
            "attribute_tokens": ["moving"], "translation": [630.0 + i, 1606.0 + box, 0.9], "size": [1.9, 4.6, 1.7],
            "rotation": ROTATION, "num_lidar_pts": 5, "num_radar_pts": 0,
        }  # fmt: skip


def small_tables(scenes: range) -> dict[str, list[dict]]:
    mount = {"translation": [1.7, 0.0, 1.5], "rotation": [0.5, -0.5, 0.5, -0.5]}
    pinhole = [[1266.0, 0.0, 816.0], [0.0, 1266.0, 491.0], [0.0, 0.0, 1.0]]
    return {
        "category": [{"token": "car", "name": "vehicle.car"}],
        "attribute": [{"token": "moving", "name": "vehicle.moving"}],
        "visibility": [{"token": "4", "level": "v80-100"}],
        "sensor": [{"token": name, "channel": name, "modality": MODALITIES[name.split("_")[0]]} for name in CHANNELS],
        "map": [{"token": "map", "filename": "maps/none.png", "log_tokens": [token("l", s) for s in scenes]}],
        "log": [{"token": token("l", s), "logfile": f"log{s:04d}", "location": LOCATION} for s in scenes],
        "calibrated_sensor": [
            mount | {"token": token("c", s, k), "sensor_token": name, "camera_intrinsic": pinhole if "CAM" in name else []}
            for s in scenes for k, name in enumerate(CHANNELS)
        ],
        "scene": [
            {"token": token("n", s), "log_token": token("l", s), "nbr_samples": FRAMES, "name": f"large-{s:04d}",
             "description": "", "first_sample_token": token("s", s, 0), "last_sample_token": token("s", s, FRAMES - 1)}
            for s in scenes
        ],
        "sample": [
            chain("s", (s,), i, FRAMES) | {"timestamp": scene_start(s) + i * HALF, "scene_token": token("n", s)}
            for s in scenes for i in range(FRAMES)
        ],
        "instance": [
            {"token": token("i", s, b), "category_token": "car", "nbr_annotations": FRAMES,
             "first_annotation_token": token("a", s, b, 0), "last_annotation_token": token("a", s, b, FRAMES - 1)}
            for s in scenes for b in range(BOXES)
        ],
    }  # fmt: skip


def make(root: Path, scenes: range) -> None:
    folder = root / VERSION
    for path in (
        folder,
        root / "can_bus",
        root / "maps" / "expansion",
        *(root / "samples" / name for name in CHANNELS),
    ):
        path.mkdir(parents=True, exist_ok=True)
    for name, rows in small_tables(scenes).items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    names = ("sample_data", "ego_pose", "sample_annotation")
    files = {name: (folder / f"{name}.json").open("w") for name in names}
    for number, scene in enumerate(scenes):
        data, poses = zip(*streams(scene), strict=True)
        for name, rows in zip(names, (data, poses, boxes(scene)), strict=True):
            text = ",\n".join(map(json.dumps, rows))
            files[name].write(f"{',' if number else '['}\n{text}")
        for row in data:
            if row["is_key_frame"] and row["width"]:
                (root / row["filename"]).touch()
        _can_bus(root, scene)
    for file in files.values():
        file.write("\n]\n")
        file.close()
    layers = ("polygon", "line", "node", "road_segment", "lane", "ped_crossing", "road_divider", "lane_divider")
    content = {"version": "1.3"} | {name: [] for name in layers}
    content["node"] = [{"token": str(i), "x": x, "y": y} for i, (x, y) in enumerate(((0.0, 0.0), (3000.0, 3000.0)))]
    (root / "maps" / "expansion" / f"{LOCATION}.json").write_text(json.dumps(content))
    (folder / "splits.json").write_text(json.dumps({"large_train": [f"large-{scene:04d}" for scene in scenes]}))


def _can_bus(root: Path, scene: int) -> None:
    start = scene_start(scene)
    vector = [0.123456789, 1.23456789, 9.87654321]
    pose = {"accel": vector, "orientation": ROTATION, "pos": vector, "rotation_rate": vector, "vel": vector}
    messages = {
        "pose": [pose | {"utime": start + i * 20_000} for i in range(FRAMES * 25)],
        "steeranglefeedback": [{"utime": start + i * 10_000, "value": 0.1} for i in range(FRAMES * 50)],
    }
    for kind, rows in messages.items():
        (root / "can_bus" / f"large-{scene:04d}_{kind}.json").write_text(json.dumps(rows))


def main() -> None:
    from benchmarks import measure
    from data_prep.root_check import checking

    root = Path(FOLDER.value)
    if not (root / VERSION / "splits.json").is_file():
        make(root, range(SCENES.value))
    start, cpu = time.perf_counter(), time.process_time()
    report = checking.check(str(root), VERSION)
    report.refuse()  # the rest of the check would not have run
    measure.print_json(
        benchmark="root_check",
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu,
        peak_memory_gib=measure.peak_memory_gib(),
        rows=report.rows,
        findings={finding.rule: finding.count for finding in report.findings},
    )


if __name__ == "__main__":
    cli.run(main)
