"""What plan_run prints, from made-up plans."""

from dima_jax.configs import base
from dima_jax.plan_run import hlo_cost, report
from dima_jax.plan_run.plan import Plan
from dima_jax.plan_run.recommend import GIB


def made_up(**changes):
    plan = dict(weights=0.6, frozen=1.7, optimizer=1.2, batch=0.1, temporary=10.0, peak=14.0, needed_flops=1e13)
    plan = {key: value * GIB if key in ("weights", "frozen", "optimizer", "batch", "temporary", "peak") else value
            for key, value in (plan | changes).items()}  # fmt: skip
    return Plan(**(dict(cost=COST, trace_seconds=1.0, compile_seconds=1.0) | plan))


COST = hlo_cost.ZERO._replace(
    products={("LLM", "bf16"): 1.3e13},
    sent={"all-reduce": 2.0**30},
    collectives=3.0,
    seconds={"BEV encoder": 0.3, "LLM": 0.2},
    gather_seconds={"BEV encoder": 0.24},
    moved={"BEV encoder": 3e11, "LLM": 2e11},
    gathered={"BEV encoder": 1e11},
    least_seconds=0.25,
    unknown={"reshape": 18, "sort": 1},
    unknown_bytes=2.765e9,
    unbounded_loops=2,
    waiting_loops=3,
)


def test_a_report_names_every_quantity(capsys):
    config = base_config(data=1, fsdp=8)
    config.train.epochs, config.data.batch_size = 216, 8
    report.print_plan(made_up(), config, "v5p", 8, windows=28130)
    text = capsys.readouterr().out
    for words in (
        "weights, trained",
        "14.00 GiB of 95 GiB",
        "13.00 TFLOP (1.30 x",
        "1.00 GiB in 3 collectives (all-reduce 1.00)",
        "3 loops whose length depends on data let devices wait at every turn",
        "0.500 s (the compiler's cycles",
        "0.250 s if data leave out",
        "0.240 s, 48.0% of it",
        "18 reshape, 1 sort; they move 2.77 GB (0.001 s or more)",
        "4.4% of the peaks of its products (TFLOP/s: bf16 459)",
        "52.7 to 105.5 h (759,456 steps, 28,130 windows an epoch)",
        "216 epochs",
        "recommended",
    ):
        assert words in text, words


def test_one_time_is_printed_where_no_branch_may_be_left_out(capsys):
    report.print_plan(made_up(cost=COST._replace(least_seconds=0.5)), base_config(), "a100", 8, windows=28130)
    text = capsys.readouterr().out
    assert "if data leave out" not in text and " to " not in next(x for x in text.splitlines() if "epochs  " in x)


def test_the_table_of_parts(capsys):
    report.print_plan(made_up(), base_config(), "a100", 8, windows=28130)
    rows = {line[2:28].strip(): line[28:].split() for line in capsys.readouterr().out.splitlines()}
    assert rows["BEV encoder"] == ["0.000", "300.00", "100.00", "300.00", "60.0%", "80.0%", "0.00"]
    assert rows["LLM"] == ["13.000", "200.00", "0.00", "200.00", "40.0%", "0.0%", "41.67"]


def test_what_is_not_known_is_printed_as_unknown(capsys):
    odd = COST._replace(products={("LLM", "s8"): 1e13})
    report.print_plan(made_up(cost=odd), base_config(), "a100", 8, windows=28130)
    rows = {line[2:28].strip(): line[28:].split() for line in capsys.readouterr().out.splitlines()}
    assert rows["LLM"][-1] == "unknown" == rows["model-FLOPs utilization"][0]


def test_a_cpu_gets_no_time(capsys):
    report.print_plan(made_up(), base_config(), "cpu", 8, windows=28130)
    text = capsys.readouterr().out
    assert "2 loops whose length depends on data" in text and "unknown for a CPU" in text
    rows = {line[2:28].strip(): line[28:].split() for line in text.splitlines()}
    assert rows["BEV encoder"] == ["0.000", "300.00", "100.00", *["unknown"] * 4]
    assert "recommended" not in text


def base_config(**mesh):
    config = base.get_config()
    config.mesh.update(**mesh)
    return config
