"""What `plan_run --json` prints: strict JSON, null where a figure is unknown."""

import json

from dima_jax.output_files import json_text
from dima_jax.plan_run import summary
from tests.plan_run.test_report import base_config, made_up


def test_json_is_strict_and_null_where_unknown():
    config, shares = base_config(data=1, fsdp=8), {"LLM base": (0, 7)}
    content = json.loads(json_text(summary.summary(made_up(), shares, config, "v5p", 8, 28130)))
    assert (content["seconds"], content["least_seconds"], content["gather_seconds"]) == (0.5, 0.25, 0.24)
    assert content["parts"]["BEV encoder"]["gathered"] == 1e11 and content["unknown"]["instructions"]["reshape"] == 18
    assert content["bytes"]["capacity"] == 95 * 2**30 and content["weights"]["LLM base"] == {"trained": 0, "all": 7}
    content = json.loads(json_text(summary.summary(made_up(), shares, config, "cpu", 8, 28130)))
    assert content["seconds"] is None and content["parts"]["LLM"]["seconds"] is None
    assert content["utilization"] is None and content["bytes"]["capacity"] is None
