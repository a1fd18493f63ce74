"""`python -m dima_jax.convert vad` and `... resnet`: PyTorch checkpoints as students that every command here takes.

    python -m dima_jax.convert vad --config=configs/vad_tiny.py --checkpoint=VAD_tiny.pth --out=runs/vad_tiny_released
    python -m dima_jax.convert resnet --checkpoint=resnet50.pth --out=weights/resnet50

Strict in both directions: each key of the file is used or is known to carry nothing, each weight is set once. What went
where is written beside the result (report.txt).
"""

from pathlib import Path

from ml_collections import ConfigDict

from dima_jax import checkpoints
from dima_jax.convert import rules, torch_file, torch_vad

# What the released VAD weights were trained with (vad-spec 1; the present public configs give wrong results with them).
RELEASED = dict(color_order="bgr", mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0))
CLASSIFIER = (r"fc\.(weight|bias)",)


def convert_vad(checkpoint: str | Path, out: str | Path, config: ConfigDict, *, released: bool) -> rules.Report:
    """Writes `out` as a run's folder at step 0: `evaluate`, `export` and `train.init_from` take it.

    released: the images are prepared as for the public weights, whatever the config says; it is stored in `meta`, and a
    command whose config prepares them otherwise refuses. UserError for a file or a key that is not what it must be.
    """
    if released:
        config.data.update(RELEASED)
    ours, report = torch_vad.from_torch(torch_file.read_state_dict(checkpoint), checkpoints.student_shapes(config))
    checkpoints.save_student(out, {f"student/{path}": value for path, value in ours.items()}, config)
    write_report(Path(out), report)
    return report


def convert_resnet(checkpoint: str | Path, out: str | Path, config: ConfigDict) -> rules.Report:
    """Writes the backbone's weights into `out`; `config.train.backbone` takes the folder."""
    shapes = checkpoints.student_shapes(config)
    wanted = {path: shape for path, shape in shapes.items() if f"student/{path}".startswith(checkpoints.BACKBONE)}
    ignored = (*CLASSIFIER, torch_vad.IGNORED[1])
    state_dict = torch_file.read_state_dict(checkpoint)
    ours, report = rules.to_ours(torch_vad.resnet_rules(""), ignored, state_dict, wanted)
    checkpoints.save_weights(Path(out), {f"student/{path}": value for path, value in ours.items()})
    write_report(Path(out), report)
    return report


def write_report(folder: Path, report: rules.Report) -> None:
    lines = [f"{name} -> {', '.join(paths)}" for name, paths in report.used.items()]
    lines += [f"{name} carries nothing for the student" for name in report.ignored]
    (folder / "report.txt").write_text("\n".join(lines) + "\n")
