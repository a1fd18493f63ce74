"""Golden piece `img_preproc`: scale, pad and normalize, with both published normalizations.

Between loader and student images are uint8, so a pixel may differ by half a gray level from VAD, which resizes floats. A
value in the middle of two levels is rounded up, and at scale 0.4 one value in sixteen is there: 1/32 on average.
"""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from dima_jax.data import transforms
from dima_jax.student.student import Student
from tests.golden.check import Check, close, sym

NORMALIZATIONS = {
    "new": ("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "ckpt": ("bgr", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)),
}
HALF_LEVEL, MEAN_LEVEL = 0.501, 0.04  # gray levels of 255


def check(folder):
    for path in sorted(folder.glob("*.npz")):
        golden = np.load(path)
        raw = raw_image(int(golden["recipe_seed"]))
        rows, columns = golden["raw_crop_u8"].shape[:2]
        yield (
            path.name,
            [
                close("raw_crop_u8", raw[:rows, :columns], golden["raw_crop_u8"], 0.0),
                Check("raw_sum", abs(float(raw.sum()) / float(golden["raw_sum"]) - 1), 1e-6),
                *(check for case in _cases(golden) for check in _preprocess(raw, golden, case)),
            ],
        )


def raw_image(seed: int) -> np.ndarray:
    """[900, 1600, 3] uint8 BGR (golden README, img_preproc)."""
    f = np.float32
    blocks = sym("raw_blocks/c0", (90, 160, 3), seed).repeat(10, axis=0).repeat(10, axis=1)
    noise = sym("raw_noise/c0", (900, 1600, 3), seed)
    return np.clip(np.floor((f(0.7) * blocks + f(0.3) * noise + f(1)) * f(127.5)), 0, 255).astype(np.uint8)


def _cases(golden):
    return sorted({name.split("/")[0] for name in golden.files if "/" in name})


def _preprocess(raw, golden, case):
    normalization, digit = case.split("_s")
    scale = int(digit) / 10
    order, mean, std = NORMALIZATIONS[normalization]
    shape = tuple(int(side) for side in golden[f"{case}/shape"][:2])
    valid_shape = tuple(round(side * scale) for side in raw.shape[:2])
    image = transforms.prepare([raw], [raw.shape[:2]], scale, valid_shape, shape, order)[0][0]
    student = SimpleNamespace(valid_shape=valid_shape, mean=mean, std=std)
    ours = (
        np.asarray(Student.normalize(student, jnp.asarray(image[None]))[0]) * std
    )  # back to gray levels, minus the mean
    yield close(f"{case}/sub_7_11", ours[::7, ::11], golden[f"{case}/sub_7_11"] * std, HALF_LEVEL)
    yield close(f"{case}/crop_br", ours[-40:-16, -48:-16], golden[f"{case}/crop_br"] * std, HALF_LEVEL)
    yield close(f"{case}/mean_hw", ours.mean(axis=(0, 1)), golden[f"{case}/mean_hw"] * std, MEAN_LEVEL)
