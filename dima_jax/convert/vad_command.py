"""`python -m dima_jax.convert vad` and `... resnet`: PyTorch checkpoints as students that every command here takes.

    python -m dima_jax.convert vad --config=configs/vad_tiny.py --checkpoint=VAD_tiny.pth --out=runs/vad_tiny_released
    python -m dima_jax.convert resnet --checkpoint=resnet50.pth --out=weights/resnet50

Strict in both directions: each key of the file is used or is known to carry nothing, each weight is set once. Where every
key went is written beside the result (report.txt).
"""

import re
from pathlib import Path

from ml_collections import ConfigDict

from dima_jax import checkpoints
from dima_jax.convert import out_folder, rules, torch_file, torch_vad
from dima_jax.errors import UserError

# What the released VAD weights were trained with (docs/vad.md#normalization; VAD's present configs differ).
RELEASED = dict(color_order="bgr", mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0))
BACKBONES = (  # where a checkpoint holds its ResNet: torchvision; OpenMMLab and Lightning; VAD; MoCo v1 and v2, v3
    "",
    "backbone.",
    "img_backbone.",
    "encoder_q.",
    "base_encoder.",
    "encoder.",
)
CLASSIFIER = r"fc\..*"  # of torchvision, or MoCo's projection in its place


def convert_vad(
    checkpoint: str | Path, out: str | Path, config: ConfigDict, *, released: bool, averaged: bool = False
) -> rules.Assignments:
    """Writes `out` as a run's folder at step 0, which `evaluate`, `export` and `train.init_from` take.

    released: the images are prepared as for the public weights, whatever the config says; it is stored in `meta`, and a
    command whose config prepares them otherwise refuses. averaged: the moving average of the weights that the file holds
    beside them. Returns where every key went. Raises UserError for a file that is no state dict, for a key that is
    unknown, extra, missing or of a wrong shape, for one with a number that is not finite, and if `out` holds anything.
    """
    out_folder.check_free(out)  # before the file is read
    if released:
        config.data.update(RELEASED)
    state_dict = torch_file.read_state_dict(checkpoint, averaged=averaged)
    with rules.naming(checkpoint):
        params, assignments = torch_vad.from_torch(state_dict, checkpoints.student_shapes(config))
    with out_folder.new(out) as folder:
        checkpoints.save_student(folder, {f"student/{path}": value for path, value in params.items()}, config)
        write_report(folder, assignments)
    return assignments


def convert_resnet(
    checkpoint: str | Path, out: str | Path, config: ConfigDict, *, averaged: bool = False
) -> rules.Assignments:
    """Writes the backbone's weights into `out`, the folder that `config.train.backbone` takes; otherwise `convert_vad`.

    The file may be a whole detector's or MoCo's: the ResNet under the first of BACKBONES is taken, the rest ignored.
    """
    out_folder.check_free(out)
    shapes = checkpoints.student_shapes(config)
    expected = {path: shape for path, shape in shapes.items() if f"student/{path}".startswith(checkpoints.BACKBONE)}
    state_dict = torch_file.read_state_dict(checkpoint, averaged=averaged)
    prefix = next((prefix for prefix in BACKBONES if f"{prefix}conv1.weight" in state_dict), None)
    if prefix is None:
        known = ", ".join(f"'{prefix}conv1.weight'" for prefix in BACKBONES)
        raise UserError(f"{checkpoint} holds no ResNet: none of {known}; it begins with {next(iter(state_dict))!r}")
    literal = re.escape(prefix)
    ignored = (rf"(?!{literal}).*", f"{literal}{CLASSIFIER}", torch_vad.COUNTERS, torch_vad.AVERAGED)
    with rules.naming(checkpoint):
        params, assignments = rules.to_params(torch_vad.resnet_rules(prefix), ignored, state_dict, expected)
    with out_folder.new(out) as folder:
        checkpoints.save_weights(folder, {f"student/{path}": value for path, value in params.items()})
        write_report(folder, assignments)
    return assignments


def write_report(folder: Path, assignments: rules.Assignments) -> None:
    """One line per key of the checkpoint in `folder`/report.txt."""
    lines = [f"{key} -> {', '.join(map(str, targets))}" for key, (targets, _) in assignments.used.items()]
    lines += [f"{key} carries nothing for the student" for key in assignments.ignored]
    (folder / "report.txt").write_text("\n".join(lines) + "\n")
