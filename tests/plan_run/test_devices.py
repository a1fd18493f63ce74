"""Targets by name, and the packages that compile for them."""

import sys

import pytest

from dima_jax.errors import UserError
from dima_jax.plan_run import devices


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


def test_every_target_has_a_data_sheet():
    assert set(devices.TARGETS) == {"cpu", *devices.SPECS} == {"cpu", *devices.CUDA_SPECS, *devices.DIMENSIONS}
