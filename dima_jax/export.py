"""Writes the student as ONNX and compares it with JAX, frame by frame: what ships to a car.

    python -m dima_jax.export --checkpoint=runs/base --out=student.onnx [--config=configs/base.py]

Standard operators only, opset 18, for plain onnxruntime; normalization is inside, and what one must know to feed the
model is in its metadata. A runtime without GridSample needs --sampling=gather. `Policy.from_onnx` plans with the file.
Of a checkpoint, only the student is read. Prints the largest differences over several frames, each fed with the
previous BEV of its own runtime, and the file's size; exit status 1 if the waypoints differ by more than 1e-4 m.
"""

import sys

from absl import flags

from dima_jax import cli

TOLERANCE = 1e-4  # meters, of the waypoints
FRAMES = 4  # compared one after the other


def main() -> None:
    from dima_jax import early_checks

    run = early_checks.chosen_run(CHECKPOINT.value)

    from dima_jax import fake_frames, onnx_export, weights
    from dima_jax.jax_student import JaxStudent

    student = JaxStudent.load(run, CONFIG.value, STEP.value)
    cli.log_to(run, "export", is_needed=False)
    file = onnx_export.export_student(student, OUT.value, BATCH_SIZE.value, SAMPLING.value)
    size, count = file.stat().st_size / 2**20, weights.count(student.params)
    print(f"{file}: {size:.1f} MiB, {count:,} numbers, opset {onnx_export.OPSET}, standard operators only")
    frames = fake_frames.drive(student.info.image_shape, FRAMES, BATCH_SIZE.value, cameras=len(student.info.cameras))
    worst = onnx_export.compare(student, file, frames)
    print(f"largest absolute difference between JAX and onnxruntime over {FRAMES} frames:")
    for name, difference in worst.items():
        print(f"  {name:18s} {difference:.2e}")
    if not worst["waypoints_all"] <= TOLERANCE:
        print(f"error: the waypoints differ by more than {TOLERANCE} m, or are NaN", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config(parts=("student", "data"))
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a run or of one of its steps; default: last run.")
    STEP = flags.DEFINE_integer("step", None, "Step of the run; default: its latest.", lower_bound=0)
    OUT = flags.DEFINE_string("out", "student.onnx", "The file to write.")
    BATCH_SIZE = flags.DEFINE_integer(
        "batch_size", 1, "Batch size of the exported model, which is fixed.", lower_bound=1
    )
    SAMPLING = flags.DEFINE_enum(
        "sampling",
        "grid_sample",
        ["grid_sample", "gather"],
        "How deformable attention samples; gather: for runtimes without GridSample.",
    )
    cli.run(main)
