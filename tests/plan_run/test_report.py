"""What plan_run prints and recommends, from made-up plans."""

import pytest

from dima_jax.configs import base
from dima_jax.plan_run import devices, hlo_cost, report
from dima_jax.plan_run.plan import Plan


def made_up(**changes):
    plan = dict(
        weights=0.6, frozen=1.7, optimizer=1.2, batch=0.1, temporary=10.0, peak=14.0, needed_flops=1e13, seconds=None
    )
    plan = {key: value * report.GIB if key in ("weights", "frozen", "optimizer", "batch", "temporary", "peak") else value
            for key, value in (plan | changes).items()}  # fmt: skip
    return Plan(**plan, cost=hlo_cost.ZERO._replace(flops=1.3e13), trace_seconds=1.0, compile_seconds=1.0)


@pytest.mark.parametrize(
    ("seconds", "source", "hours"),
    [(0.5, "the compiler's cycles, the costliest branch", "105.5 h"), (None, "no compiler estimate: 40%", "14.9 h")],
)
def test_a_report_names_every_quantity(capsys, seconds, source, hours):
    config = base_config(data=1, fsdp=8)
    config.train.epochs, config.data.batch_size = 216, 8
    report.print_plan(made_up(seconds=seconds), config, "v5p", 8, windows=28130)
    text = capsys.readouterr().out
    for words in (
        "weights, trained",
        "14.00 GiB of 95 GiB",
        "13.00 TFLOP (1.30 x",
        "sent to other",
        source,
        "recommended",
    ):
        assert words in text
    assert hours in text and "216 epochs" in text and "759,456 steps, 28,130 windows" in text


def test_a_cpu_gets_no_time_and_unbounded_loops_are_named(capsys):
    cost = hlo_cost.ZERO._replace(flops=1e13, sent={"all-reduce": 2.0**30}, collectives=3.0, unbounded_loops=2)
    report.print_plan(made_up()._replace(cost=cost), base_config(), "cpu", 8, windows=28130)
    text = capsys.readouterr().out
    assert "1.00 GiB in 3 collectives (all-reduce 1.00)" in text
    assert "2 loops whose length depends on data" in text and "not estimated for a CPU" in text
    assert "recommended" not in text


def base_config(**mesh):
    config = base.get_config()
    config.mesh.update(**mesh)
    return config


def test_recommendations():
    config, spec = base_config(data=1, fsdp=8), devices.SPECS["a100"]
    lines = "\n".join(report.recommend(made_up(), config, spec, 8))
    assert "batch_size=32" in lines and "remat=False" in lines and "accumulate" not in lines
    small = devices.SPECS["v5e"]
    lines = "\n".join(report.recommend(made_up(temporary=20.0, peak=24.0), config, small, 8))
    assert "lacks" in lines and "GiB" in lines
    config.mesh.update(data=8, fsdp=1)
    lines = "\n".join(report.recommend(made_up(frozen=13.5, peak=26.0), config, small, 8))
    assert "--config.mesh.fsdp=8" in lines
