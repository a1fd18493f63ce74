"""What an exported student says of itself: `ModelInfo` and the conventions beside it."""

import json
from pathlib import Path

import pytest

from dima_jax import interface, jax_student
from dima_jax.errors import UserError
from dima_jax.interface import ModelInfo, Outputs
from tests.mini import mini_config

PAGE = (Path(__file__).parents[1] / "docs" / "export.md").read_text()


@pytest.fixture
def config():
    return mini_config()


def refuse(constant):
    raise ValueError(constant)


@pytest.mark.parametrize("ego_status", ["full", "speed", "none"])
def test_metadata_is_strict_json_and_reads_back(config, ego_status):
    config.data.update(ego_status=ego_status, command=False, color_order="bgr")
    info = ModelInfo.from_config(config)
    metadata = info.to_metadata()
    assert ModelInfo.from_metadata(metadata, "file") == info
    assert all(name.startswith("dima_jax.") for name in metadata)
    for value in metadata.values():
        json.loads(value, parse_constant=refuse)


@pytest.mark.parametrize(
    ("ego_status", "read"), [("full", set(range(18))), ("speed", {0, 13}), ("none", set())], ids=str
)
def test_can_bus_of_an_arm(config, ego_status, read):
    config.data.ego_status = ego_status
    layout = ModelInfo.from_config(config).can_bus()
    assert len(layout) == 18 and {i for i, (what, _) in enumerate(layout) if what != "0"} == read
    assert layout[17][1] == ("degrees" if 17 in read else "1")
    if 13 in read:
        assert layout[13] == ("velocity along x of the ego frame", "m/s")


@pytest.mark.parametrize("change", [{"dima_jax.ego_status": None}, {"dima_jax.cameras": "{"}], ids=str)
def test_metadata_that_is_not_ours_is_named(config, change):
    metadata = {k: v for k, v in (ModelInfo.from_config(config).to_metadata() | change).items() if v is not None}
    with pytest.raises(UserError, match=rf"student\.onnx.* metadata {next(iter(change))}.*export") as error:
        ModelInfo.from_metadata(metadata, "student.onnx")
    assert "\n" not in str(error.value)


def test_inputs_outputs_and_fields_are_all_described(config):
    assert tuple(interface.CONVENTIONS["inputs"]) == interface.INPUTS == tuple(jax_student.input_specs(config, 1))
    assert tuple(interface.CONVENTIONS["outputs"]) == Outputs._fields
    section = PAGE[PAGE.index("## Metadata") :]
    for name in (*ModelInfo._fields, *interface.CONVENTIONS, "can_bus", "version", "commit"):
        assert f"`{name}`" in section, name
    assert f"{interface.LARGEST:g}".replace("+0", "") in PAGE
