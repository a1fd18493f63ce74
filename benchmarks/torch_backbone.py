"""The PyTorch side of `benchmarks.backbone`: ResNet and FPN in plain layers. Started by it, not by hand.

Runs under an interpreter with torch and numpy, without this project's packages; nothing imports it.
"""

import torch
from torch.nn import functional as F

from benchmarks.serve import read_task, serve

NORM_EPSILON = 1e-5


class Encoder:
    """arrays: {path: array} of our image encoder; sizes: its blocks, stages and extra levels."""

    def __init__(self, arrays: dict, sizes: dict):
        self.sizes, self.layers = sizes, {}
        for path in [path.removesuffix("/kernel") for path in arrays if path.endswith("/kernel")]:
            kernel = torch.tensor(arrays[f"{path}/kernel"]).permute(3, 2, 0, 1)
            norm = _norm_of(path)
            if f"{norm}/scale" in arrays:
                scale, bias, mean, var = (torch.tensor(arrays[f"{norm}/{n}"]) for n in ("scale", "bias", "mean", "var"))
                factor = scale * torch.rsqrt(var + NORM_EPSILON)
                kernel, bias = kernel * factor[:, None, None, None], bias - mean * factor
            else:
                bias = torch.tensor(arrays[f"{path}/bias"])
            self.layers[path] = kernel.contiguous(memory_format=torch.channels_last), bias

    def conv(self, path: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        kernel, bias = self.layers[path]
        return F.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2)

    def block(self, path: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        y = F.relu_(self.conv(f"{path}/conv1", x))
        y = F.relu_(self.conv(f"{path}/conv2", y, stride))
        y = self.conv(f"{path}/conv3", y)
        shortcut = self.conv(f"{path}/downsample", x, stride) if f"{path}/downsample" in self.layers else x
        return F.relu_(y.add_(shortcut))

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = F.max_pool2d(F.relu_(self.conv("stem/conv", images, 2)), 3, 2, 1)
        stages = []
        for i, blocks in enumerate(self.sizes["stage_blocks"]):
            for j in range(blocks):
                x = self.block(f"stages/{i}/{j}", x, 2 if i > 0 and j == 0 else 1)
            stages += [x] if i in self.sizes["out_stages"] else []
        levels = [self.conv(f"fpn/laterals/{i}", x) for i, x in enumerate(stages)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[2:], mode="nearest")
        levels = [self.conv(f"fpn/outputs/{i}", x) for i, x in enumerate(levels)]
        for i in range(self.sizes["extra_levels"]):
            levels.append(self.conv(f"fpn/extras/{i}", levels[-1] if i == 0 else F.relu(levels[-1]), 2))
        return levels


def _norm_of(path: str) -> str:
    """Where the norm after a convolution is: conv1, norm1; downsample, downsample_norm."""
    if path.endswith("/downsample"):
        return f"{path}_norm"
    root, _, name = path.rpartition("/")
    return f"{root}/{name.replace('conv', 'norm')}"


def main() -> None:
    task, arrays = read_task()
    torch.set_num_threads(task["threads"])
    images = torch.tensor(arrays.pop("images")).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    run = torch.inference_mode()(Encoder(arrays, task["sizes"]))
    serve(
        lambda: run(images),
        lambda levels: [x for y in levels for x in y[-1, :32, y.shape[2] // 2, y.shape[3] // 2].tolist()],
    )


if __name__ == "__main__":
    main()
