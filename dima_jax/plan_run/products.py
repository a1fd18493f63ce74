"""Matrix products and convolutions in HLO: their FLOPs, and the number format in which the hardware multiplies.

In the forms in which XLA's CPU, GPU (cuBLAS and cuDNN calls included) and TPU compilers leave them. 2 FLOPs per
multiply-add; all else has none here.
"""

import functools
import math
import re

import numpy as np

from dima_jax.plan_run.hlo import Instruction, numbers

PRECISIONS = ("default", "high", "highest")
# By jax.lax.Precision: what a product of float32 numbers is on that platform at each of PRECISIONS.
FLOAT32_PRODUCTS = {
    "tpu": ("bf16", "bf16x3", "bf16x6"),  # one, three or six products of bfloat16
    "cuda": ("tf32", "tf32", "f32"),
    "cpu": ("f32", "f32", "f32"),
}


def flops(instruction: Instruction, table: dict[str, Instruction]) -> float:
    """table: the instructions of the same computation, by name."""
    shapes = [array.sizes for array in _operands(instruction, table)]
    if instruction.opcode == "dot":
        contracted = _numbers(instruction.rest, r"lhs_contracting_dims=\{([\d,]*)\}")
        return 2.0 * math.prod(instruction.arrays[0].sizes) * math.prod(shapes[0][i] for i in contracted)
    if instruction.opcode == "convolution":
        return convolution(instruction.rest, shapes[0], shapes[1], instruction.arrays[0].sizes)
    if instruction.target.startswith("__cublas"):
        contracted = _numbers(instruction.rest, r'"lhs_contracting_dimensions":\[([\d",]*)\]')
        return 2.0 * math.prod(instruction.arrays[0].sizes) * math.prod(shapes[0][i] for i in contracted)
    if instruction.target.startswith("__cudnn$conv"):
        result = instruction.arrays[0].sizes
        if instruction.target == "__cudnn$convBackwardInput":
            return convolution(instruction.rest, result, shapes[1], shapes[0])
        if instruction.target == "__cudnn$convBackwardFilter":
            return convolution(instruction.rest, shapes[0], result, shapes[1])
        return convolution(instruction.rest, shapes[0], shapes[1], result)
    return 0.0


def number_format(instruction: Instruction, table: dict[str, Instruction], platform: str) -> str:
    """ "bf16", "tf32", ... (a key of `DeviceSpec.peaks` where its speed is known) of a product; else the type's name.

    The wider operand decides, and for float32 the precision that the program asks for. platform: of FLOAT32_PRODUCTS.
    """
    if (algorithm := re.search(r'"algorithm":"(\w+)"|\balgorithm=(\w+)', instruction.rest)) and (
        (name := algorithm[1] or algorithm[2]).upper() != "ALG_UNSET"
    ):
        return name.lower()
    types = {array.dtype for array in _operands(instruction, table)[:2]}
    if types <= {"bf16", "f16"}:
        return "bf16"
    if not types <= {"bf16", "f16", "f32"}:
        return "/".join(sorted(types))
    written = re.search(r'operand_precision=\{([\w,]+)\}|"operand_precision":\[([\w",]+)\]', instruction.rest)
    asked = (written[1] or written[2]).replace('"', "").lower().split(",") if written else PRECISIONS[:1]
    if not set(asked) <= set(PRECISIONS):
        return "/".join(asked)
    return FLOAT32_PRODUCTS[platform][max(PRECISIONS.index(name) for name in asked)]


def _operands(instruction: Instruction, table: dict[str, Instruction]):
    return [table[name].arrays[0] for name in instruction.operands if name in table and table[name].arrays]


def _numbers(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text)
    return numbers(found[1]) if found else ()


def convolution(rest: str, image, kernel, result) -> float:
    """Multiply-adds that meet real pixels, times 2. image, kernel, result: shapes in the roles of `dim_labels`."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", rest)
    window = dict(re.findall(r"(\w+)=([\w\-]+)", (re.search(r"window=\{([^}]*)\}", rest) or [None, ""])[1]))
    spatial = sorted(c for c in labels[1] if c.isdigit())
    work = 2.0 * result[labels[3].index("b")] * result[labels[3].index("f")] * kernel[labels[2].index("i")]

    def each(key, default):
        return window[key].split("x") if key in window else [default] * len(spatial)

    options = zip(
        each("stride", "1"), each("pad", "0_0"), each("lhs_dilate", "1"), each("rhs_dilate", "1"), strict=True
    )
    for axis, (stride, pad, image_dilation, kernel_dilation) in zip(spatial, options, strict=True):
        sizes = image[labels[1].index(axis)], kernel[labels[2].index(axis)], result[labels[3].index(axis)]
        work *= taps(*sizes, int(stride), int(pad.split("_")[0]), int(image_dilation), int(kernel_dilation))
    groups = re.search(r"batch_group_count=(\d+)", rest)
    return work / (int(groups[1]) if groups else 1)


@functools.cache
def taps(image: int, kernel: int, result: int, stride: int, pad: int, image_dilation: int, kernel_dilation: int) -> int:
    """Pairs of output and kernel positions that meet a pixel along one axis; all sizes are along this axis."""
    pixel = np.arange(result)[:, None] * stride + np.arange(kernel)[None, :] * kernel_dilation - pad
    return int(((pixel >= 0) & (pixel <= (image - 1) * image_dilation) & (pixel % image_dilation == 0)).sum())
