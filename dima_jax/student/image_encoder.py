"""Images to feature levels: ResNet with frozen batch norm, then a feature pyramid (mmdet 2.14 as VAD configures it).

Layout is [images, rows, columns, channels]; h w (rows, columns) and c (channels) are those of an output. The statistics
of the batch norms never change (VAD keeps them in evaluation mode), so each norm is folded into the convolution before
it: one convolution, one addition (docs/vad.md#image-encoder).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax import sharding
from dima_jax.scan_layers import scan_layers, stack_layers
from dima_jax.student import convolutions
from dima_jax.student.layers import Rngs, xavier, zeros
from dima_jax.student.precision import Conv, product_dtype

NORM_EPSILON = 1e-5
EXPANSION = 4  # output channels of a bottleneck, as a multiple of its inner width


def conv(c_in: int, c_out: int, size: int, rngs: Rngs, *, stride=1, bias=False, init=None) -> Conv:
    """A size x size convolution with PyTorch's symmetric padding size // 2; init: of the kernel, He's by default."""
    init = init or nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
    padding = [(size // 2, size // 2)] * 2
    options = dict(strides=stride, padding=padding, use_bias=bias, kernel_init=init, bias_init=zeros)
    return Conv(c_in, c_out, (size, size), dtype=product_dtype(), rngs=rngs, **options)


class FrozenNorm(nnx.Module):
    """Batch norm with constant statistics: (x - mean) / sqrt(var + 1e-5) * scale + bias.

    scale: its start, for all channels.
    """

    def __init__(self, channels: int, scale: float = 1.0):
        self.scale = nnx.Param(jnp.full((channels,), scale, jnp.float32))
        self.bias = nnx.Param(jnp.zeros((channels,), jnp.float32))
        self.mean = nnx.Param(jnp.zeros((channels,), jnp.float32))
        self.var = nnx.Param(jnp.ones((channels,), jnp.float32))

    @classmethod
    def identity(cls, channels: int) -> "FrozenNorm":
        """A norm that changes nothing."""
        norm = cls(channels)
        norm.var[...] -= NORM_EPSILON
        return norm

    def affine(self) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """(factor, addend): the norm is x * factor + addend."""
        factor = self.scale[...] * jax.lax.rsqrt(self.var[...] + NORM_EPSILON)
        return factor, self.bias[...] - self.mean[...] * factor


def conv_norm(layer: Conv, norm: FrozenNorm, x: Float[Array, "n H W C"]) -> Float[Array, "n h w c"]:
    """norm(layer(x)), with the norm's factor folded into the kernel, in float32; its addend is added in float32."""
    factor, addend = norm.affine()
    return _convolve(layer, x, layer.kernel[...] * factor, addend)


def conv_bias(layer: Conv, x: Float[Array, "n H W C"]) -> Float[Array, "n h w c"]:
    """layer(x) of a layer with a bias, added in float32."""
    return _convolve(layer, x, layer.kernel[...], layer.bias[...])


def _convolve(
    layer: Conv, x: Float[Array, "n H W C"], kernel: Float[Array, "_ _ C c"], addend: Float[Array, " c"]
) -> Float[Array, "n h w c"]:
    """The layer's convolution with another kernel, plus the addend, in the layer's type.

    One of 1x1 becomes a matrix product; not in exported programs, whose runtimes fuse a convolution with what follows it.
    CPUs have forms of their own for the stem's and those of 3x3.
    """
    x, kernel, stride = x.astype(layer.dtype), kernel.astype(layer.dtype), layer.strides
    platform, size = sharding.platform(), layer.kernel_size[0]
    if size == 1 and platform != "onnx":
        x = x[:, ::stride, ::stride] @ kernel[0, 0]
    elif platform == "cpu":
        x = convolutions.convolve_on_cpu(x, kernel, stride)
    else:
        x = convolutions.direct(x, kernel, stride)
    return (x + addend).astype(layer.dtype)


ConvNorm = Callable[[Conv, FrozenNorm, Array], Array]


class Stem(nnx.Module):
    """7x7 stride-2 convolution, norm, ReLU, 3x3 stride-2 max pooling: a quarter of the resolution, `width` channels."""

    def __init__(self, width: int, rngs: Rngs):
        self.conv = conv(3, width, 7, rngs, stride=2)
        self.norm = FrozenNorm(width)

    def __call__(self, x: Float[Array, "n H W 3"], apply: ConvNorm = conv_norm) -> Float[Array, "n h w C"]:
        x = jax.nn.relu(apply(self.conv, self.norm, x))
        return max_pool(x)


def max_pool(x: Float[Array, "n H W C"]) -> Float[Array, "n h w C"]:
    """Max pooling: window 3, stride 2, padding 1. One operation in exported programs, one axis after the other in XLA's."""
    if sharding.platform() == "onnx":
        return nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    return _max_pool_axis(_max_pool_axis(x, axis=1), axis=2)


def _max_pool_axis(x: Float[Array, "n H W C"], axis: int) -> Float[Array, "n h w C"]:
    size = x.shape[axis]
    padding = [(0, 0)] * x.ndim
    padding[axis] = (1, 1)
    x = jnp.pad(x, padding, constant_values=-jnp.inf)
    last = (size - 1) // 2 * 2  # start of the last window
    first, second, third = (jax.lax.slice_in_dim(x, i, last + i + 1, stride=2, axis=axis) for i in range(3))
    return jnp.maximum(jnp.maximum(first, second), third)


class Bottleneck(nnx.Module):
    """Residual block of a 1x1, a 3x3 (with the stride) and a 1x1 convolution, each with its norm.

    c_in: input channels. width: inner channels; the output has EXPANSION times as many. residual_scale: start of the
    last norm's scale.
    """

    def __init__(self, c_in: int, width: int, stride: int, residual_scale: float, rngs: Rngs):
        c_out = width * EXPANSION
        self.conv1, self.norm1 = conv(c_in, width, 1, rngs), FrozenNorm(width)
        self.conv2, self.norm2 = conv(width, width, 3, rngs, stride=stride), FrozenNorm(width)
        self.conv3, self.norm3 = conv(width, c_out, 1, rngs), FrozenNorm(c_out, residual_scale)
        self.has_downsample = stride > 1 or c_in != c_out
        if self.has_downsample:
            self.downsample = conv(c_in, c_out, 1, rngs, stride=stride)
            self.downsample_norm = FrozenNorm(c_out)

    def __call__(self, x: Float[Array, "n H W C"], apply: ConvNorm = conv_norm) -> Float[Array, "n h w c"]:
        y = jax.nn.relu(apply(self.conv1, self.norm1, x))
        y = jax.nn.relu(apply(self.conv2, self.norm2, y))
        y = apply(self.conv3, self.norm3, y)
        shortcut = apply(self.downsample, self.downsample_norm, x) if self.has_downsample else x
        return jax.nn.relu(y + shortcut)


class FeaturePyramid(nnx.Module):
    """FPN: 1x1 laterals, nearest-neighbor top-down sum, 3x3 outputs, then 3x3 stride-2 convolutions for extra levels.

    channels: of the input stages. width: channels of every level. The first extra level is computed from the last
    output, each further one from the ReLU of the one before (mmdet's `add_extra_convs='on_output'`).
    """

    def __init__(self, channels: tuple[int, ...], width: int, extra_levels: int, rngs: Rngs):
        self.laterals = nnx.List([conv(c, width, 1, rngs, bias=True, init=xavier) for c in channels])
        self.outputs = nnx.List([conv(width, width, 3, rngs, bias=True, init=xavier) for _ in channels])
        options = dict(stride=2, bias=True, init=xavier)
        self.extras = nnx.List([conv(width, width, 3, rngs, **options) for _ in range(extra_levels)])

    def __call__(self, stages: list[Float[Array, "n _ _ _"]]) -> list[Float[Array, "n _ _ D"]]:
        levels = [conv_bias(lateral, x) for lateral, x in zip(self.laterals, stages, strict=True)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] = levels[i] + resize_nearest(levels[i + 1], levels[i].shape[1:3])
        levels = [conv_bias(output, x) for output, x in zip(self.outputs, levels, strict=True)]
        for i, extra in enumerate(self.extras):
            levels.append(conv_bias(extra, levels[-1] if i == 0 else jax.nn.relu(levels[-1])))
        return levels


def resize_nearest(x: Float[Array, "n H W C"], size: tuple[int, int]) -> Float[Array, "n h w C"]:
    """Nearest-neighbor resizing as torch.nn.functional.interpolate: source index = floor(i * source / target)."""
    for axis, target in ((1, size[0]), (2, size[1])):
        source = x.shape[axis]
        if target == 2 * source:
            x = jnp.repeat(x, 2, axis=axis)
        else:
            x = jnp.take(x, jnp.arange(target) * source // target, axis=axis)
    return x


class ImageEncoder(nnx.Module):
    """ResNet with bottleneck blocks, and FPN.

    Arguments as in `configs/base.py`; stage_blocks (3, 4, 6, 3) and stage_width 64 make ResNet-50. Without imported
    weights the frozen norms do not normalize, so the last norm of each block starts at 1 / sqrt(number of blocks),
    which keeps the variance of the activations about constant over the depth.
    """

    def __init__(
        self,
        *,
        stage_blocks: tuple[int, ...],
        stage_width: int,
        out_stages: tuple[int, ...],
        width: int,
        extra_levels: int,
        rngs: Rngs,
    ):
        self.out_stages = tuple(out_stages)
        self.stem = Stem(stage_width, rngs)
        scale = 1.0 / math.sqrt(sum(stage_blocks))
        c_in, stages = stage_width, []
        for i, blocks in enumerate(stage_blocks):
            inner, stage = stage_width * 2**i, []
            for j in range(blocks):
                stage.append(Bottleneck(c_in, inner, 2 if i > 0 and j == 0 else 1, scale, rngs))
                c_in = inner * EXPANSION
            stages.append(nnx.List(stage))
        self.stages = nnx.List(stages)
        channels = tuple(stage_width * 2**i * EXPANSION for i in self.out_stages)
        self.fpn = FeaturePyramid(channels, width, extra_levels, rngs)

    def backbone(self, images: Float[Array, "n H W 3"], apply: ConvNorm = conv_norm) -> list[Float[Array, "n _ _ _"]]:
        """Features of `out_stages`; stages 0 to 3 have the strides 4, 8, 16 and 32. apply: see `__call__`."""
        x, outputs = self.stem(images, apply), []
        # XLA compiles the gradient of a 3x3 convolution inside a loop poorly for CPUs.
        unroll = sharding.platform() == "cpu" or apply is not conv_norm
        for i, stage in enumerate(self.stages):
            x = stage[0](x, apply)
            if len(stage) > 1:  # the first changes the number of channels, the others are alike
                if unroll:
                    for block in stage[1:]:
                        x = block(x, apply)
                else:
                    x, _ = scan_layers(lambda x, block, _: (block(x), None), x, stack_layers(stage[1:]))
            if i in self.out_stages:
                outputs.append(x)
        return outputs

    def __call__(self, images: Float[Array, "n H W 3"], apply: ConvNorm = conv_norm) -> list[Float[Array, "n _ _ D"]]:
        """Normalized images to pyramid levels, finest first. apply: how a convolution with its norm is computed."""
        return self.fpn(self.backbone(images, apply))
