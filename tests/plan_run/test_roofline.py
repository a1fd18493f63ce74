"""Parts of a step, their shares, and how far they are from their arithmetic."""

import pytest

from dima_jax.plan_run import hlo_cost, roofline
from dima_jax.plan_run.devices import SPECS

COST = hlo_cost.ZERO._replace(
    products={("image backbone", "tf32"): 156e9, ("LLM", "bf16"): 312e9},
    seconds={"image backbone": 0.002, "BEV encoder": 0.006, "LLM": 0.002},
    gather_seconds={"BEV encoder": 0.0045},
    moved={"BEV encoder": 2e9, "other": 5.0},
    gathered={"BEV encoder": 1e9},
    least_seconds=0.004,
)


def test_each_part_has_its_share_and_its_arithmetic():
    found = roofline.by_part(COST, SPECS["a100"])
    assert list(found) == ["image backbone", "BEV encoder", "LLM", "other"]  # the order of the model
    assert found["image backbone"].arithmetic == pytest.approx(0.001) == found["LLM"].arithmetic
    encoder = found["BEV encoder"]
    assert (encoder.share, encoder.gather_seconds, encoder.gathered) == (pytest.approx(0.6), 0.0045, 1e9)


def test_what_is_not_known_is_none():
    found = roofline.by_part(COST, None)["BEV encoder"]
    assert (found.seconds, found.share, found.arithmetic, found.moved) == (None, None, None, 2e9)
    odd = COST._replace(products={("LLM", "s8"): 1e9})
    assert roofline.by_part(odd, SPECS["a100"])["LLM"].arithmetic is None
    assert roofline.utilization(odd, 1e9, SPECS["a100"]) is None


def test_the_peaks_are_those_of_the_products():
    """2 ms of arithmetic, of which the method needs three quarters, in 10 ms."""
    assert roofline.utilization(COST, 0.75 * COST.flops, SPECS["a100"]) == pytest.approx(0.15)
    assert roofline.step_seconds(COST) == (0.004, pytest.approx(0.010))
