"""The exported VAD-Tiny with the recipe's weights against the reference's trajectories, frame by frame, in onnxruntime.

    python -m tests.golden.onnx_vad_tiny --root DIR [--split dev]

The golden images are numbers around 0, not pixels, so the file is written without normalization (mean 0, std 1) and the
type of its image input is changed from uint8 to float32; all else is what `dima_jax.export` writes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from dima_jax import onnx_export, weights
from dima_jax.jax_student import JaxStudent
from dima_jax.onnx_student import open_session
from tests.golden.check import close
from tests.golden.pieces import vad_tiny_full
from tests.golden.recipe_student import TINY, vad_config

TOLERANCE = 1e-3  # meters


def check(golden_file: Path):
    """Checks of the exported file over the two frames of a golden file."""
    d = dict(np.load(golden_file))
    config = vad_config(**TINY)
    config.data.update(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    with tempfile.TemporaryDirectory() as folder:
        student = JaxStudent(config, weights.split(vad_tiny_full.student(config, d))[1])
        file = onnx_export.export_student(student, Path(folder) / "tiny.onnx")
        session = open_session(_with_float_images(file))
    bev = np.zeros((1, 100 * 100, 256), np.float32)
    for i in range(2):
        feed = {
            "images": vad_tiny_full.images(i, config.data.image_shape, int(d["recipe_seed"])),
            "lidar2img": d[f"f{i}/lidar2img__f64"][None].astype(np.float32),
            "can_bus": d[f"f{i}/can_bus_model_input__f64"][None].astype(np.float32),
            "command": np.eye(3, dtype=np.float32)[:1],
            "prev_bev": bev,
            "has_prev_bev": np.array([i > 0]),
        }
        waypoints, futures, boxes, bev = session.run(["waypoints_all", "agent_futures", "agent_boxes", "bev"], feed)
        golden = d[f"f{i}/out/ego_fut_preds"].reshape(waypoints.shape)
        yield close(f"f{i}/waypoints", waypoints, np.cumsum(golden, axis=-2), TOLERANCE)
        offsets = d[f"f{i}/out/all_traj_preds"].reshape(futures.shape)
        moved = futures - boxes[:, :, None, None, :2]
        yield close(f"f{i}/agent futures", moved, np.cumsum(offsets, axis=-2), TOLERANCE)


def _with_float_images(file: Path) -> bytes:
    model = onnx.load(file)
    (images,) = [value for value in model.graph.input if value.name == "images"]
    images.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del model.graph.value_info[:]  # they say uint8 up to the cast
    return model.SerializeToString()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    files = sorted((arguments.root / "vad_tiny_full" / arguments.split).glob("*.npz"))
    if not files:
        print(f"FAIL no golden file below {arguments.root}/vad_tiny_full/{arguments.split}")
    failed = not files
    for file in files:
        for one in check(file):
            failed |= not one.passed
            print(
                f"{'ok' if one.passed else 'FAIL':4s} {file.name} {one.name}: {one.error:.2e} (tolerance {one.tolerance})"
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
