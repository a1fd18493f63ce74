"""Do the teacher's tasks work, beyond running? A teacher that learns from a trained student's scenes, on unseen ones.

    python -m benchmarks.surrogates --config=configs/demo.py --config.loss.edit_collision=10 --student=runs/shipped

The student is frozen, so its BEVs are computed once and the steps cost only the teacher. On the val split: masked
reconstruction against predicting the mean of all cells, future prediction against copying the present BEV, and the
edited plan's distance to an added vehicle against the unedited plan's, where that one conflicts with the vehicle: comes
so near that the collision constraint speaks. Every sample is edited. JSON. About half an hour of CPU time.
"""

from absl import flags

from benchmarks import measure
from dima_jax import cli


def main() -> None:
    from benchmarks.surrogate_tasks import scenes, scores, train_teacher
    from dima_jax import checkpoints, optimizer
    from dima_jax.data import loader
    from dima_jax.sharded_model import ShardedModel

    config, steps = CONFIG.value, STEPS.value
    config.teacher.edit_share = 1.0
    config.optim.groups = (("student/.*", 0.0), *config.optim.groups)
    config.train.epochs = 10  # in which the learning rate decays
    model = ShardedModel.for_evaluation(config)
    optim = optimizer.build(config, steps_per_epoch=max(1, steps // config.train.epochs))
    params = model.init_params() | checkpoints.load_student(STUDENT.value)[1]
    lessons = scenes(model, params, config.data.train_split, loader.num_train_windows(config))
    trained = train_teacher(model, optim, params, lessons, steps)
    found = scores(model, trained, scenes(model, params, config.data.val_split, WINDOWS.value))
    measure.print_json(
        benchmark="surrogates",
        student=STUDENT.value,
        steps=steps,
        batch=config.data.batch_size,
        split=config.data.val_split,
        windows=WINDOWS.value,
        seed=config.seed,
        **found,
    )


if __name__ == "__main__":
    CONFIG = cli.define_config()
    STUDENT = flags.DEFINE_string("student", "runs/shipped", "Run whose student makes the scenes.")
    STEPS = flags.DEFINE_integer("steps", 3500, "Training steps of the teacher.", lower_bound=1)
    WINDOWS = flags.DEFINE_integer("windows", 400, "Windows of the val split; a multiple of the batch.", lower_bound=1)
    cli.run(main)
