"""Which settings a plan advises to change, from made-up plans."""

from dima_jax.plan_run import devices, recommend
from tests.plan_run.test_report import base_config, made_up


def test_recommendations():
    config, spec = base_config(data=1, fsdp=8), devices.SPECS["a100"]
    lines = "\n".join(recommend.recommend(made_up(), config, spec, 8))
    assert "batch_size=32" in lines and "remat=False" in lines and "accumulate" not in lines
    small = devices.SPECS["v5e"]
    lines = "\n".join(recommend.recommend(made_up(temporary=20.0, peak=24.0), config, small, 8))
    assert "lacks" in lines and "GiB" in lines
    assert "--config.student.dtype=bfloat16, a device" in lines and "encoder_remat" not in lines
    config.student.update(dtype="bfloat16", encoder_remat="never")
    lines = "\n".join(recommend.recommend(made_up(temporary=20.0, peak=24.0), config, small, 8))
    assert "student.dtype" not in lines and "--config.student.encoder_remat=accelerators, a device" in lines
    config.mesh.update(data=8, fsdp=1)
    lines = "\n".join(recommend.recommend(made_up(frozen=13.5, peak=26.0), config, small, 8))
    assert "--config.mesh.fsdp=8" in lines
