"""Writes zip.pth and legacy.pth beside this file; needs torch, which nothing else here does."""

from pathlib import Path

import torch

whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
state = {
    "whole": torch.nn.Parameter(whole),
    "transposed": whole.permute(2, 0, 1),
    "row": whole[1, 2],
    "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 3),
}
here = Path(__file__).parent
torch.save({"meta": {"epoch": 1}, "state_dict": state}, here / "zip.pth")
torch.save(state, here / "legacy.pth", _use_new_zipfile_serialization=False)
