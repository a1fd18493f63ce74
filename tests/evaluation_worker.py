"""One process of an evaluation of a student, by itself or as one of several.

    python -m tests.evaluation_worker RUN OUT DEVICES [COORDINATOR PROCESSES PROCESS]

Prints nothing of interest; `tests/test_evaluation_processes.py` starts it and reads what it writes.
"""

import sys
from pathlib import Path

import jax


def main(run: Path, out: Path, devices: int, coordinator: str = "", processes: int = 1, process: int = 0) -> None:
    jax.config.update("jax_num_cpu_devices", devices)
    if coordinator:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, processes, process)
    from dima_jax import evaluation, variants
    from dima_jax.policy import Policy
    from dima_jax.prediction_writer import Places

    policy = Policy.load(run)
    config, places = policy.student.config, Places.beside(out)
    rows = variants.chosen(blank_images=True, other_images=True, audit=False)
    found = evaluation.evaluate(policy, config, "val", places, variants=rows)
    if found is not None:
        evaluation.write(found, places)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[0]), Path(arguments[1]), int(arguments[2]), *arguments[3:4], *map(int, arguments[4:]))
