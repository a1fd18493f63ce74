"""What a run needs, before anybody books hardware: the whole joint train step compiled for devices that are not here.

    python -m dima_jax.plan_run --config=configs/base.py --target=v5p:8 [--windows_per_device=1] [--config.mesh.fsdp=8]
    python -m dima_jax.plan_run --config=configs/base.py --target=a100:8 --json > plan.json

Targets: cpu:N always; v4, v5e, v5p, v6e with libtpu; a100, h100, h200 with the CUDA plugin (see `devices.py`; the command says
which pip line is missing). Nothing runs and no weight is made: shapes and shardings go to the compiler, and its answer
is printed per device: memory by kind, compute, traffic, time of a step and of the run by parts of the model with the share
of gathers, and which settings to change. What is not known is printed as unknown. Before that it prints how many weights
are trained: of the student, the LLM, and the modules between them. The mesh's data axis is stretched to the number of
devices. No records are needed; --windows says how many an epoch has.
"""

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError
from dima_jax.plan_run import devices

CONFIG = cli.define_config(without=("data.batch_size",))  # which it sets
TARGET = flags.DEFINE_string("target", "cpu:8", f"DEVICE:NUMBER; devices: {', '.join(devices.TARGETS)}.")
WINDOWS_PER_DEVICE = flags.DEFINE_integer("windows_per_device", 1, "Windows per device and step.", lower_bound=1)
EFFORT = flags.DEFINE_float(
    "effort",
    -1.0,
    "How hard XLA optimizes for speed, -1 to 1; 0 as in training. On a TPU, -1 compiles twice as fast; the program "
    "needs about as much memory and is slower.",
    lower_bound=-1.0,
    upper_bound=1.0,
)
WINDOWS = flags.DEFINE_integer("windows", 28130, "Windows per epoch; nuScenes' train split has 28,130.", lower_bound=1)
JSON = flags.DEFINE_bool("json", False, "Print strict JSON alone: bytes, FLOPs and seconds, null where unknown.")


def main() -> None:
    config = CONFIG.value
    if config is None:
        raise UserError("--config is missing; e.g. --config=configs/base.py")
    kind, number = devices.parse(TARGET.value)

    import jax

    from dima_jax.output_files import json_text
    from dima_jax.plan_run import plan, report, summary

    jax.config.update("jax_exec_time_optimization_effort", EFFORT.value)
    target_devices = devices.make_devices(kind, number)
    plan.fit_mesh(config, number, WINDOWS_PER_DEVICE.value)
    shares = plan.trained_share(config, target_devices)
    if not JSON.value:
        report.print_header(flags.FLAGS["config"].config_filename, config, kind, number, EFFORT.value)
        report.print_trained(shares)
    planned = plan.make_plan(config, target_devices, kind)
    if JSON.value:
        print(json_text(summary.summary(planned, shares, config, kind, number, WINDOWS.value), indent=1))
    else:
        report.print_plan(planned, config, kind, number, WINDOWS.value)


if __name__ == "__main__":
    cli.run(main)
