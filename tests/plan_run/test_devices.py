"""Targets by name, and the packages that compile for them."""

import sys
import types

import pytest
from jax.experimental import topologies

from dima_jax.errors import UserError
from dima_jax.plan_run import devices, products


def test_a_target_is_a_kind_and_a_number():
    assert devices.parse("a100:8") == ("a100", 8)


@pytest.mark.parametrize("target", ["a100", "tpu:8", "a100:0", "a100:x"])
def test_a_wrong_target_says_what_to_write(target):
    with pytest.raises(UserError, match=r"DEVICE:NUMBER"):
        devices.parse(target)


def test_a_missing_compiler_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    monkeypatch.setitem(sys.modules, "jax_cuda12_plugin", None)
    with pytest.raises(UserError, match='pip install "libtpu'):
        devices.make_devices("v5p", 8)
    with pytest.raises(UserError, match='pip install "jax-cuda12-plugin'):
        devices.make_devices("a100", 8)
    with pytest.raises(UserError, match="slices of"):
        devices.make_devices("v5p", 7)


def test_one_chip_is_a_slice_where_there_is_one(monkeypatch):
    """A host has four chips, unless it is said that it has one; there is no v5p slice of one chip."""
    asked = []

    def describe(**options):
        asked.append(options)
        return types.SimpleNamespace(devices=["chip"])

    monkeypatch.setitem(sys.modules, "libtpu", types.ModuleType("libtpu"))
    monkeypatch.setattr(topologies, "get_topology_desc", describe)
    assert devices.make_devices("v5e", 1) == ["chip"]
    devices.make_devices("v5e", 4)
    assert [options["topology_name"] for options in asked] == ["v5e:1x1", "v5e:2x2"]
    assert asked[0]["chips_per_host_bounds"] == [1, 1, 1] and "chips_per_host_bounds" not in asked[1]
    with pytest.raises(UserError, match="--target=v5p:1: no such slice"):
        devices.make_devices("v5p", 1)


def test_every_target_has_a_data_sheet():
    assert set(devices.TARGETS) == {"cpu", *devices.SPECS} == {"cpu", *devices.CUDA_SPECS, *devices.DIMENSIONS}


def test_every_product_of_a_platform_has_a_peak():
    for kind, spec in devices.SPECS.items():
        assert {"bf16", *products.FLOAT32_PRODUCTS[devices.platform(kind)]} == set(spec.peaks)
