"""How much each loss term pulls at the BEV, and the weight of distillation that gives it a chosen share of that.

    python -m benchmarks.gradient_shares --config=configs/demo.py
    python -m benchmarks.gradient_shares --config=configs/demo.py --run=runs/demo --share=0.2 --batches=4

The norm of each term's gradient by the BEV tokens of the current frame, the last that student and teacher share, in a
pass of training on batches of the train split: with the weights of --run, else those that a fresh run starts with. JSON:
each term's value, weight, norm (before weighting) and share of the sum of the weighted norms, and the `loss.distill` at
which distillation has the share --share. Nothing is trained.
"""

from absl import flags

from benchmarks import measure
from dima_jax import cli

MODEL_KEYS = ("student", "teacher", "auxiliary", "distill.form")  # in which --run and --config must agree


def main() -> None:
    config = CONFIG.value
    cli.prepare_jax(config.mesh)
    import jax
    import numpy as np

    from benchmarks.gradient_norms import make_gradient_norms
    from dima_jax import checkpoints, progress, train_loop
    from dima_jax.data import loader
    from dima_jax.sharded_model import ShardedModel

    weights = config.loss.to_dict()
    if config.teacher.enabled and not config.loss.distill:
        config.loss.distill = 1.0  # a term with weight 0 is left out, and its norm is wanted
    model = ShardedModel.for_evaluation(config)
    if RUN.value:
        meta = checkpoints.load_student(RUN.value)[2]
        checkpoints.check_model(meta["config"], config, RUN.value, MODEL_KEYS)
        params = model.load(RUN.value)
    else:
        params = train_loop.fresh_params(model)
    gradient_norms, windows, size = make_gradient_norms(model), loader.TrainWindows(config), config.data.batch_size
    found: dict[str, list[tuple[float, float]]] = {}
    for i in progress.each(range(BATCHES.value), BATCHES.value, "batch", first="compiling"):
        rows = jax.device_get(gradient_norms(params, windows.batch(i * size, size), jax.random.key(i)))
        for name, row in rows.items():
            found.setdefault(name, []).append(row)
    values, norms = ({name: float(np.mean(rows, axis=0)[k]) for name, rows in found.items()} for k in range(2))
    measure.print_json(
        benchmark="gradient_shares",
        run=RUN.value,
        split=config.data.train_split,
        windows=BATCHES.value * size,
        seed=config.seed,
        terms={
            name: {"value": values[name], "weight": weights[name], "norm": norms[name], "share": share}
            for name, share in shares(norms, weights).items()
        },
        distill={"share": SHARE.value, "weight": balanced_weight(norms, weights, "distill", SHARE.value)},
    )


def shares(norms: dict[str, float], weights: dict[str, float]) -> dict[str, float | None]:
    """{term: share of its weighted norm in their sum}, the largest first; None where all are 0."""
    weighted = {name: weights[name] * norm for name, norm in norms.items()}
    total = sum(weighted.values())
    return {
        name: value / total if total else None for name, value in sorted(weighted.items(), key=lambda item: -item[1])
    }


def balanced_weight(norms: dict[str, float], weights: dict[str, float], term: str, share: float) -> float | None:
    """The weight at which a term has this share of the sum of the weighted norms; None without the term or its gradient."""
    if not norms.get(term):
        return None
    others = sum(weights[name] * norm for name, norm in norms.items() if name != term)
    return share / (1 - share) * others / norms[term]


if __name__ == "__main__":
    CONFIG = cli.define_config()
    RUN = flags.DEFINE_string("run", "", "Folder of a whole run of this model; default: the weights of a fresh run.")
    SHARE = flags.DEFINE_float("share", 0.1, "Share of distillation that a weight is wanted for.", 0.0, 0.99)
    BATCHES = flags.DEFINE_integer("batches", 1, "Batches whose norms are averaged.", lower_bound=1)
    cli.run(main)
