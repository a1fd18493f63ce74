"""Writes results.pkl beside this file; needs torch, which nothing else here does."""

import pickle
from pathlib import Path

import torch

whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
content = {
    "first": whole[:1],
    "turned": whole.permute(2, 0, 1)[1],
    "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([1.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "same": torch.ones(1).expand(3),
    "flags": torch.tensor([True, False]),
}
(Path(__file__).parent / "results.pkl").write_bytes(pickle.dumps(content, 2))
