"""Protocols by name: what is there is whole, what is not is refused."""

import pytest

from dima_jax.errors import UserError
from dima_jax.metrics.protocols import base, registry
from dima_jax.scoring.recorded import GROUPS


def test_every_protocol_is_what_its_name_says():
    for name in registry.PROTOCOLS:
        definition = registry.get(name).definition
        assert definition.name == name and definition.version >= 1 and definition.frames in base.FRAMES
        names = [column.name for column in definition.columns]
        assert len(set(names)) == len(names) and not set(names) & set(definition.averages)
        assert {column.quantity for column in definition.columns} == set(definition.quantities)
        assert all(set(columns) <= set(names) for columns in definition.averages.values())
        assert set(definition.needs) <= set(GROUPS)


def test_a_module_is_imported_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(registry, "PROTOCOLS", {"toy": f"{__name__}:TOY", "gone": "no.such.module:TOY"})
    assert registry.get("toy") is TOY
    with pytest.raises(ModuleNotFoundError):
        registry.get("gone")


def test_an_unknown_name_is_refused_with_those_that_are_known(monkeypatch):
    monkeypatch.setattr(registry, "PROTOCOLS", {"a": "x:y", "b": "x:y"})
    with pytest.raises(UserError, match=r"^no protocol 'c'; say one of a, b$"):
        registry.get("c")


class Toy(base.Protocol):
    definition, grids = None, ()

    def frame(self, frame, grids, lidar, ego, l2):
        raise NotImplementedError


TOY = Toy()
