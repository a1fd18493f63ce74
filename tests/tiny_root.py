"""A nuScenes root of 22 key frames for tests: the golden database of `info_converter`, with small JPEGs and a small map.

Scene scene-0061 is train, scene-0103 is val, 11 key frames each. Its images show noise, its maps are a straight street
with a crossing and a divider through the start of each scene.
"""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "data" / "info_converter" / "dev"
VERSION = "v1.0-mini"
IMAGE_SHAPE = (45, 80)  # of the 900 x 1600 the intrinsics are made for
POLYGON_LAYERS = ("road_segment", "road_block", "lane", "ped_crossing", "walkway", "stop_line", "carpark_area")
OTHER_LAYERS = (
    "polygon",
    "line",
    "node",
    "drivable_area",
    "road_divider",
    "lane_divider",
    "traffic_light",
    "lane_connector",
)


def tables(root: Path, name: str) -> list[dict]:
    return json.loads((root / VERSION / f"{name}.json").read_text())


def write_table(root: Path, name: str, rows: list[dict]) -> None:
    (root / VERSION / f"{name}.json").write_text(json.dumps(rows))


def make(root: Path) -> Path:
    """Writes the data set below `root` and returns `root`."""
    for name in (VERSION, "can_bus", "maps"):
        shutil.copytree(GOLDEN / name, root / name, copy_function=shutil.copyfile)
    for folder in (root / VERSION, root / "can_bus", root / "maps"):
        folder.chmod(0o755)
    rng = np.random.default_rng(0)
    _shrink_cameras(root)
    for row in tables(root, "sample_data"):
        path = root / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(rng.integers(0, 256, (5, 8, 3), np.uint8), IMAGE_SHAPE[::-1])
        path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    poses = {row["token"]: row for row in tables(root, "ego_pose")}
    first = {}
    for row in tables(root, "sample_data"):
        first.setdefault(row["sample_token"], poses[row["ego_pose_token"]]["translation"])
    for scene, location in zip(tables(root, "scene"), ("singapore-onenorth", "boston-seaport"), strict=True):
        street = _street(*first[scene["first_sample_token"]][:2])
        path = root / "maps" / "expansion" / f"{location}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(street))
    return root


def _shrink_cameras(root: Path) -> None:
    """The tables' image size and intrinsics as if the cameras recorded IMAGE_SHAPE."""
    rows = tables(root, "sample_data")
    scale = IMAGE_SHAPE[1] / 1600
    for row in rows:
        row["height"], row["width"] = IMAGE_SHAPE
    write_table(root, "sample_data", rows)
    rows = tables(root, "calibrated_sensor")
    for row in rows:
        matrix = np.array(row["camera_intrinsic"])
        row["camera_intrinsic"] = (np.diag([scale, scale, 1]) @ matrix).tolist() if matrix.size else []
    write_table(root, "calibrated_sensor", rows)


def drivelm(path: Path, answer: str = "Keep going at the same speed.", tag: str = "<c1,CAM_FRONT,812.0,500.5>") -> Path:
    """A DriveLM file with two questions about the third key frame of scene-0061."""
    questions = {
        "perception": [{"Q": f"What is the status of {tag}?", "A": "Moving."}],
        "planning": [{"Q": "What should the ego vehicle do?", "A": answer}],
    }
    frames = {"smp_0010": {"QA": questions, "key_object_infos": {tag: {}}}}
    path.write_text(json.dumps({"scn0": {"scene_description": "", "key_frames": frames}}))
    return path


def _street(x: float, y: float) -> dict:
    """Map expansion v1.3 of a 200 x 12 m street along x with a divider in its middle and a crossing 5 m ahead."""
    content = {name: [] for name in (*POLYGON_LAYERS, *OTHER_LAYERS)} | {"version": "1.3", "canvas_edge": [2000, 2000]}
    content |= {"connectivity": {}, "arcline_path_3": {}}

    def nodes(points):
        start = len(content["node"])
        content["node"] += [{"token": f"n{start + i}", "x": px, "y": py} for i, (px, py) in enumerate(points)]
        return [f"n{start + i}" for i in range(len(points))]

    def polygon(points):
        token = f"p{len(content['polygon'])}"
        content["polygon"].append({"token": token, "exterior_node_tokens": nodes(points), "holes": []})
        return token

    def box(x0, y0, x1, y1):
        return polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    street = box(x - 100, y - 6, x + 100, y + 6)
    content["road_segment"].append({"token": "r0", "polygon_token": street, "is_intersection": False})
    crossing = box(x + 5, y - 6, x + 8, y + 6)
    content["ped_crossing"].append({"token": "c0", "polygon_token": crossing, "road_segment_token": "r0"})
    content["line"].append({"token": "l0", "node_tokens": nodes([(x - 100, y), (x + 100, y)])})
    content["road_divider"].append({"token": "d0", "line_token": "l0", "road_segment_token": "r0"})
    return content


def write_records(root: Path, out: Path, drivelm_path: str = "") -> Path:
    """The records of a data set, without Beam. Returns `out`."""
    from data_prep import builder, qa, scenes, shards
    from data_prep.key_frames import KeyFrames

    source, answers = scenes.Root(str(root), VERSION), qa.read(drivelm_path)
    out.mkdir(parents=True, exist_ok=True)
    planned = shards.plan(source.splits(), out)
    for shard in (shard for group in planned.values() for shard in group):
        shards.write(
            shard,
            lambda token: (KeyFrames(source, source.tables.get("scene", token)), answers),
            "test",
            lambda: None,
        )
    builder.write_metadata(out, planned)
    return out


def small_config(records: Path | str):
    """configs/demo.py on these records."""
    from dima_jax.configs import demo

    config = demo.get_config()
    config.data.update(path=str(records), history=1)
    config.data.update(image_scale=1.0, valid_shape=IMAGE_SHAPE, image_shape=(64, 96), batch_size=4)
    config.mesh.data = 1
    return config


def key_frames(root: Path, scene: int = 0):
    """The key frames of one scene of a data set."""
    from data_prep.key_frames import KeyFrames
    from data_prep.scenes import Root

    opened = Root(str(root), VERSION)
    return KeyFrames(opened, opened.tables.scene[scene])


def write_drives(root: Path, out: Path, scenes: int) -> Path:
    """Records with the train scene of a data set and so many val scenes, which are its two by turns under other names.

    Returns `out`.
    """
    from data_prep import builder, shards
    from dima_jax.data import records

    drives = [key_frames(root, number) for number in range(2)]
    splits = {"train": [(0, "")], "val": [(number % 2, f"-{number}") for number in range(scenes)]}
    out.mkdir(parents=True, exist_ok=True)
    planned = {}
    for split, chosen in splits.items():
        path = out / records.shard_name(split, 0, 1)
        frames = [_renamed(drives[k].record(i, {}), name) for k, name in chosen for i in range(len(drives[k]))]
        shards.write_frames(path, frames, "test")
        planned[split] = [shards.Shard(str(path), tuple(name for _, name in chosen), len(frames))]
    builder.write_metadata(out, planned)
    return out


def _renamed(frame: dict, ending: str) -> dict:
    """The key frame in a scene of another name."""
    scene = {key: value + ending if key in ("token", "name") else value for key, value in frame["scene"].items()}
    return frame | {"sample_token": frame["sample_token"] + ending, "scene": scene}
