"""Do stages 1 and 2 teach perception? Two short runs on the mini world, their val scores beside an untrained student's.

    python -m benchmarks.stages --workdir=runs/stages --epochs=3,2

Uses `configs/demo_student.py` with the loss weights of `configs/stage1.py` and `stage2.py`, and the demo's records (`make
demo` writes them). Prints JSON: first and last perception losses of each stage, and the scores of val.
"""

from pathlib import Path

from absl import flags

from benchmarks import measure
from dima_jax import cli

CONFIG = cli.define_config("configs/demo_student.py")
WORKDIR = flags.DEFINE_string("workdir", "runs/stages", "Folder of the two runs.")
EPOCHS = flags.DEFINE_list("epochs", ["3", "2"], "Epochs of stage 1 and of stage 2.")
PERCEPTION = ("agent_class", "agent_box", "agent_motion", "map_class", "map_points")


def main() -> None:
    from dima_jax import checkpoints, train_loop, weights
    from dima_jax.configs import stage1, stage2
    from dima_jax.sharded_model import ShardedModel

    config, folder = CONFIG.value, Path(WORKDIR.value)
    params = ShardedModel(config).init_params()
    checkpoints.save_student(folder / "untrained", weights.with_prefix(params, "student/"), config)
    results = {"untrained": score(config, folder / "untrained")}
    start = ""
    for name, stage, epochs in zip(("stage1", "stage2"), (stage1, stage2), EPOCHS.value, strict=True):
        config.loss.update(stage.get_config().loss)
        config.train.update(epochs=int(epochs), init_from=start)
        start = str(folder / name)
        train_loop.train(config, start)
        results[name] = score(config, Path(start)) | {"losses": losses(Path(start))}
    measure.print_json(
        benchmark="stages", epochs=EPOCHS.value, seed=config.seed, split=config.data.val_split, **results
    )


def score(config, run: Path) -> dict:
    from dima_jax import evaluation
    from dima_jax.policy import Policy

    result, _ = evaluation.evaluate(Policy.load(run, config), config, config.data.val_split)
    plan = result["planning"]["all frames"]["student"]["stp3-vad"]
    return {"perception": result["perception"], "l2_avg": plan["l2_avg"], "frames": plan["frames"]}


def losses(run: Path) -> dict:
    """{term: [mean of the first five logged values, of the last five]}."""
    from tensorboardX.proto.event_pb2 import Event

    from dima_jax.data import records

    logged: dict[str, list[float]] = {}
    for file in sorted((run / "events").iterdir()):
        content = file.read_bytes()
        for place in records.walk(file):
            event = Event.FromString(content[place.offset : place.offset + place.bytes])
            for value in event.summary.value:
                logged.setdefault(value.tag, []).append(value.simple_value)
    found = {}
    for name in PERCEPTION:
        values = logged[f"loss/{name}"]
        found[name] = [sum(values[:5]) / 5, sum(values[-5:]) / 5]
    return found


if __name__ == "__main__":
    cli.run(main)
