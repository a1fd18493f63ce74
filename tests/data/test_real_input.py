"""Real key frames through the same records and the same loader as everything else, and real boxes where they belong."""

import itertools

import numpy as np
import pytest

from configs import demo
from data_prep import validate
from dima_jax import geometry
from dima_jax.data import drives, features, loader
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.data.records import Records
from dima_jax.types import CAMERAS
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
    """All 84: centres to a tenth of a pixel. The hulls overlap but for the LiDAR's tilt, which a box's yaw cannot hold."""
    frame = drives.Drives(config, "val")[0]
    boxes = features.decode(Records(config.data.path, "val").read(0))["agents"]["boxes"].astype(np.float64)
    overlaps = []
    for camera, matrix in zip(CAMERAS, frame.camera_matrices, strict=True):
        centers, depths = project(boxes[:, :3], matrix)
        hulls, _ = project(corners(boxes), matrix)
        hulls = np.concatenate([hulls.min(axis=1), hulls.max(axis=1)], axis=-1).clip(0, [1600, 900, 1600, 900])
        for instance in realdata.mmdet3d_info()["cam_instances"][camera]:
            distance = np.linalg.norm(centers - instance["center_2d"], axis=1)
            distance[np.abs(depths - instance["depth"]) > 0.1] = np.inf
            assert distance.min() < 0.1, (camera, instance)
            overlaps.append(iou(hulls[distance.argmin()], np.array(instance["bbox"])))
    assert len(overlaps) == 84
    assert min(overlaps) > 0.8 and np.median(overlaps) > 0.94


def test_small_images_have_small_projections(config):
    frame = drives.Drives(config, "val")[0]
    point = np.array([[1.0, 20.0, -1.0]])
    full, _ = project(point, frame.camera_matrices[0])
    small, depth = geometry.project(point, frame.frame.lidar2img[0, 0])
    np.testing.assert_allclose(small, SCALE * full, rtol=1e-4)
    assert depth[0] > 0


def test_real_frames_reach_the_frame_of_the_student(config):
    real, questions = list(drives.iterate_scenes(config, "val"))
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
    assert validate.validate(config.data.path) == []
