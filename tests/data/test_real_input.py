"""Real key frames through the same records and the same loader as everything else, and real boxes where they belong."""

import gzip
import itertools
import json

import numpy as np
import pytest
from shapely.geometry import LineString, Polygon

from data_prep import ego, map_lines, validation
from data_prep.key_frames import matrix
from dima_jax import geometry
from dima_jax.configs import demo
from dima_jax.constants import CAMERAS
from dima_jax.data import features, loader, sequences
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.data.records import Records
from tests import realdata

SCALE, VALID_SHAPE, SHAPE = 0.2, (180, 320), (192, 320)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    frames = [realdata.mmdet3d_key_frame(), realdata.drivelm_key_frame()]
    out = tmp_path_factory.mktemp("real")
    for split in ("train", "val"):
        realdata.write_split(out / split, split, frames)
    config = demo.get_config()
    config.data.path = str(out / "val")
    config.data.update(image_scale=SCALE, valid_shape=VALID_SHAPE, image_shape=SHAPE, batch_size=2, max_agents=64)
    return config


def corners(boxes: np.ndarray) -> np.ndarray:
    """The eight corners [n, 8, 3] of boxes [n, 9] (types.AgentTargets)."""
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    heading = -boxes[:, 6] - np.pi / 2
    along, across, up = (signs[:, i] * boxes[:, [size]] for i, size in enumerate((4, 3, 5)))
    x = np.cos(heading)[:, None] * along - np.sin(heading)[:, None] * across
    y = np.sin(heading)[:, None] * along + np.cos(heading)[:, None] * across
    return boxes[:, None, :3] + np.stack([x, y, up], axis=-1)


def project(points: np.ndarray, matrix: np.ndarray):
    """Points [..., 3] to pixels [..., 2] and depth [...]."""
    image = points @ matrix[:3, :3].T + matrix[:3, 3]
    return image[..., :2] / image[..., 2:], image[..., 2]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes (x0, y0, x1, y1)."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def test_real_boxes_project_where_the_infos_2d_boxes_are(config):
    """All 84: centers to a tenth of a pixel. The hulls overlap but for the LiDAR's tilt, which a box's yaw cannot hold."""
    frame = sequences.Drives(config, "val")[0]
    boxes = features.decode(Records(config.data.path, "val").read(0))["agents"]["boxes"].astype(np.float64)
    overlaps = []
    for camera, lidar2img in zip(CAMERAS, frame.camera_matrices, strict=True):
        centers, depths = project(boxes[:, :3], lidar2img)
        hulls, _ = project(corners(boxes), lidar2img)
        hulls = np.concatenate([hulls.min(axis=1), hulls.max(axis=1)], axis=-1).clip(0, [1600, 900, 1600, 900])
        for instance in realdata.mmdet3d_info()["cam_instances"][camera]:
            distance = np.linalg.norm(centers - instance["center_2d"], axis=1)
            distance[np.abs(depths - instance["depth"]) > 0.1] = np.inf
            assert distance.min() < 0.1, (camera, instance)
            overlaps.append(iou(hulls[distance.argmin()], np.array(instance["bbox"])))
    assert len(overlaps) == 84
    assert min(overlaps) > 0.8 and np.median(overlaps) > 0.94


def test_small_images_have_small_projections(config):
    frame = sequences.Drives(config, "val")[0]
    point = np.array([[1.0, 20.0, -1.0]])
    full, _ = project(point, frame.camera_matrices[0])
    small, depth = geometry.project(point, frame.frame.lidar2img[0, 0])
    np.testing.assert_allclose(small, SCALE * full, rtol=1e-4)
    assert depth[0] > 0


def test_real_frames_reach_the_frame_of_the_student(config):
    real, questions = list(sequences.iterate_scenes(config, "val"))
    assert real.frame.images.shape == (1, 6, *SHAPE, 3)
    assert not real.frame.images[:, :, VALID_SHAPE[0] :].any()
    assert real.agents.mask.sum() >= 3 and not real.map.mask.any() and not real.future_valid
    assert real.agents.future_mask.sum() == 0
    assert questions.sample_token == "4a0798f849ca477ab18009c3a20b7df2"
    kinds = [kind for kind, _, _ in questions.questions]
    assert [kinds.count(kind) for kind in ("perception", "prediction", "planning", "behavior")] == [35, 26, 17, 1]


def test_real_frames_reach_the_batch(config):
    config = config.copy_and_resolve_references()
    config.data.path = config.data.path.replace("val", "train")
    batch = next(loader.train_batches(config))
    np.testing.assert_array_equal(sorted(batch.index), [0, 1])
    assert batch.frame_mask.sum(axis=1).tolist() == [1, 1]
    texts = [ByteTokenizer().decode(tokens) for tokens in batch.text.tokens]
    assert all(text.startswith("USER: ") and "ASSISTANT: " in text for text in texts)
    (drivelm,) = (text for text, index in zip(texts, batch.index, strict=True) if index == 1)
    record = features.decode(Records(config.data.path, "train").read(1))
    assert any(question in drivelm for question in record["qa"]["questions"])


def test_real_records_are_valid(config):
    assert validation.validate(config.data.path, decode_share=1.0).report.findings == []


@pytest.fixture(scope="module")
def mini_val():
    """Infos of the 81 key frames of nuScenes' mini_val in order: scene-0103 (40), then scene-0916 (41)."""
    path = realdata.folder() / "derived" / "mini_val_infos.json.gz"
    infos = json.loads(gzip.decompress(path.read_bytes()))["infos"]
    return sorted(infos, key=lambda info: info["timestamp"])


def pose(info: dict, frame: str) -> np.ndarray:
    return matrix({part: info[f"{frame}_{part}"] for part in ("translation", "rotation")})


def test_real_recorded_paths_are_the_published_ones(mini_val):
    """Ego positions 0.5 s to 3 s ahead against another project's ground truth, in the ego frame (x forward), and commands."""
    path = realdata.folder() / "planning" / "worldvla_got_nuscenes_val_600_gt.json"
    published = {row["sample_token"]: row for row in json.loads(path.read_text())}
    checked = 0
    for infos in (mini_val[:40], mini_val[40:]):
        poses = [pose(info, "ego2global") for info in infos]
        for i, info in enumerate(infos):
            if info["token"] not in published or i + 6 >= len(infos):
                continue
            waypoints = np.cumsum(ego.path(poses, i)["future_offsets"], axis=0)
            np.testing.assert_allclose(waypoints, published[info["token"]]["waypoints"], atol=2e-3)
            checked += 1
    assert checked >= 6


def test_real_maps_give_lines_around_every_key_frame(mini_val):
    path = realdata.folder() / "derived" / "mini_val_map_vectors_global.json.gz"
    maps = json.loads(gzip.decompress(path.read_bytes()))
    counts = {}
    for scene, infos in (("scene-0103", mini_val[:40]), ("scene-0916", mini_val[40:])):
        layers = {name: map_lines.layer(map(LineString, maps[scene][name].values())) for name in map_lines.LINE_LAYERS}
        layers["lane"] = map_lines.layer(Polygon(lane["polygon"]) for lane in maps[scene]["lane"].values())
        layers["ped_crossing"] = map_lines.layer(map(Polygon, maps[scene].get("ped_crossing", {}).values()))
        layers["road_segment"] = map_lines.layer([])
        lines = [map_lines.local_lines(layers, pose(info, "ego2global") @ pose(info, "lidar2ego")) for info in infos]
        assert all(lines), "a key frame without any line"
        for label, line in itertools.chain.from_iterable(lines):
            rim = {map_lines.DIVIDER: 0.0, map_lines.PED_CROSSING: 0.2, map_lines.BOUNDARY: -0.2}[label]
            assert (np.abs(line).max(axis=0) <= np.array([15, 30]) + rim + 1e-6).all()
        counts[scene] = np.bincount([label for label, _ in itertools.chain.from_iterable(lines)], minlength=3)
    assert counts["scene-0103"].min() > 0
    assert counts["scene-0916"][map_lines.PED_CROSSING] == 0, "this street has no crossing"
