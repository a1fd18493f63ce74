"""Reads the state dict of a `.pth` or `.bin` file without torch, and without running anything that is in it.

An array is read when it is asked for, so an optimizer's state that lies in the same file costs nothing.
"""

from pathlib import Path

import numpy as np

from dima_jax.convert import torch_archive
from dima_jax.convert.torch_archive import Tensor
from dima_jax.convert.torch_pickle import Foreign
from dima_jax.errors import UserError

STATE_DICTS = ("state_dict", "model", "model_state_dict")  # mmcv, Lightning, MoCo, timm; DETR, MAE; torch's tutorials
AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "ema")  # mmengine; timm; ConvNeXt, DETR; others
AVERAGED_PREFIX = "ema_"  # mmcv: "ema_" and the name with "_" for "." beside the plain names
AVERAGED_COUNTERS = ("steps", "n_averaged")  # of mmengine, torch: beside averaged weights, and none of them
WRAPPERS = ("module.", "model.", "_orig_mod.")  # of DataParallel, Lightning, torch.compile: where every name has it


def read_state_dict(file: str | Path, *, averaged: bool = False) -> dict[str, np.ndarray]:
    """{name: array} of `index`, without the prefixes that all names share ("module."); a storage is read once.

    averaged: the moving average of the weights instead, from one of AVERAGED or from mmcv's names; what has none stays
    what it is. Raises UserError as `index` does, and for a file without averages.
    """
    file = Path(file)
    found = torch_archive.load(file)
    tensors = _unwrapped(_state_dict(file, found))
    if averaged:
        tensors = _averaged(file, found, tensors)
    return {name: read(file, name, tensor) for name, tensor in tensors.items()}


def index(file: str | Path) -> dict[str, Tensor]:
    """{name: tensor} of a state dict: the file's object itself, or what it holds under one of STATE_DICTS.

    What else the file holds does not matter, and nothing of it is run. Raises UserError for a file that is absent,
    damaged, not of torch, or whose state dict holds objects beyond tensors, numbers and texts.
    """
    file = Path(file)
    return _state_dict(file, torch_archive.load(file))


def read(file: str | Path, name: str, tensor: Tensor) -> np.ndarray:
    """A tensor of `index`, read-only. Raises UserError, naming it, where the file is damaged."""
    try:
        return tensor.numpy()
    except torch_archive.DAMAGED as error:
        raise UserError(f"{file} is damaged at {name!r} ({torch_archive.detail(error)}); fetch it again") from None


def _state_dict(file: Path, found) -> dict[str, Tensor]:
    if isinstance(found, Foreign):
        raise UserError(_refusal(file, found))
    named = found if isinstance(found, dict) else {}
    tensors = _tensors(file, next((named[key] for key in STATE_DICTS if isinstance(named.get(key), dict)), named))
    if not tensors:
        raise UserError(f"{file} holds no state dict (names and tensors, or such under 'state_dict')")
    return tensors


def _averaged(file: Path, found: dict, plain: dict[str, Tensor]) -> dict[str, Tensor]:
    separate = next((found[key] for key in AVERAGED if isinstance(found.get(key), dict)), None)
    if separate is not None:
        copies = _unwrapped({k: v for k, v in _tensors(file, separate).items() if k not in AVERAGED_COUNTERS})
    else:
        flat = {name: AVERAGED_PREFIX + name.replace(".", "_") for name in plain}
        copies = {name: plain[copy] for name, copy in flat.items() if copy in plain}
    if not copies:
        known = ", ".join(map(repr, AVERAGED))
        raise UserError(f"{file} holds no averaged weights ({known}, or names with {AVERAGED_PREFIX!r}); omit --ema")
    own = {name: tensor for name, tensor in plain.items() if not name.startswith(AVERAGED_PREFIX)}
    return own | copies


def _tensors(file: Path, named: dict) -> dict[str, Tensor]:
    """The tensors of a dict by name, numpy's numbers among them."""
    tensors = {}
    for name, value in named.items():
        if isinstance(value, Foreign):
            raise UserError(_refusal(file, value))
        if isinstance(name, str) and isinstance(value, (Tensor, np.generic)):
            tensors[name] = value if isinstance(value, Tensor) else Tensor.of_number(value)
    return tensors


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that all names share, in whatever order."""
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _unwrapped({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return tensors


def _refusal(file: Path, value: Foreign) -> str:
    return (
        f"{file} holds {value.name}, which is more than tensors, so it is not opened; "
        "in torch, save its state dict alone: torch.save(checkpoint['state_dict'], file)"
    )
