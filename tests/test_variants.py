"""Each variant changes its own input, and nothing else; the frame that it is given stays as it was."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax import variants
from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.data.ego_inputs import can_bus_input
from dima_jax.errors import UserError
from dima_jax.policy import Frame
from dima_jax.scoring import audit

FRAMES = 4
OTHERS = [2, 3, 0, 1]
EVERY = variants.chosen(blank_images=True, other_images=True, audit=True)


def recorded(index: int) -> Frame:
    """A frame whose arrays cannot be written to."""
    rng = np.random.default_rng(index)
    frame = Frame(
        rng.integers(1, 256, (len(CAMERAS), 4, 5, 3), dtype=np.uint8),
        rng.normal(size=(len(CAMERAS), 4, 4)).astype(np.float32),
        rng.uniform(1, 2, 18).astype(np.float32),
        COMMANDS[index % 2],  # right or left
    )
    for array in frame[:3]:
        array.flags.writeable = False
    return frame


DRIVES = SimpleNamespace(frames=[SimpleNamespace(images=recorded(i).images) for i in range(FRAMES)])


class Spy:
    """A policy that plans nothing and remembers what it was given."""

    def __init__(self):
        self.given, self.resets = [], 0

    def reset(self):
        self.resets += 1

    def step(self, frame):
        self.given.append(frame)


def driven(variant) -> Spy:
    """A drive as `Variant` describes it."""
    spy = Spy()
    for i in range(FRAMES):
        if i == 0 or not variant.keeps_history:
            spy.reset()
        spy.step(variant.change(recorded(i), variants.Context(DRIVES, i, OTHERS)))
    return spy


def changed(variant) -> set[str]:
    """Fields that differ from what was recorded, in any frame."""
    return {
        name
        for i, given in enumerate(driven(variant).given)
        for name in Frame._fields
        if not np.array_equal(getattr(given, name), getattr(recorded(i), name))
    }


FIELDS = {
    "blank images": {"images"},
    "another scene's images": {"images"},
    "shuffled cameras": {"images"},
    "no previous BEV": set(),
    "CAN bus zeroed": {"can_bus"},
    "speed x0.5": {"can_bus"},
    "speed x1.5": {"can_bus"},
    "always straight": {"command"},
    **{f"{camera} black": {"images"} for camera in CAMERAS},
}


@pytest.mark.parametrize("variant", EVERY, ids=lambda variant: variant.name)
def test_a_row_changes_its_input_alone(variant):
    assert changed(variant) == FIELDS[variant.name.removeprefix("student, ")]
    for given in driven(variant).given:
        assert given.images.dtype == np.uint8 and given.can_bus.dtype == np.float32
        assert given.images.shape == (len(CAMERAS), 4, 5, 3) and given.can_bus.shape == (18,)
    assert (driven(variant).resets == FRAMES) == (variant.name == "student, no previous BEV")


def test_every_row_of_the_audit_is_driven_and_told():
    told = {*audit.ROWS, *(audit.row(audit.black(camera)) for camera in CAMERAS)}
    assert {variant.name for variant in EVERY} == told and len(EVERY) == len(told) == len(FIELDS)


def test_which_are_chosen():
    def names(*flags):
        return [(variant.name, variant.kind) for variant in variants.chosen(*flags)]

    blank, other = ("student, blank images", "control"), ("student, another scene's images", "control")
    assert names(False, False, False) == []
    assert names(True, False, False) == [blank] and names(False, True, False) == [other]
    assert names(False, False, True) == names(True, True, True) and names(False, False, True)[:2] == [blank, other]
    assert {kind for _, kind in names(False, False, True)[2:]} == {"audit"}


@pytest.mark.parametrize("names", [("rear", "left", "front"), ("left", "right")])
def test_another_rig_has_a_row_for_each_of_its_cameras(names):
    rows = {one.name: one for one in variants.chosen(False, False, audit=True, cameras=names)}
    assert [name for name in rows if " black" in name] == [f"student, {name} black" for name in names]
    frame = recorded(1)._replace(images=recorded(1).images[: len(names)])
    shuffled = rows["student, shuffled cameras"].change(frame, variants.Context(DRIVES, 1, OTHERS)).images
    assert not any(np.array_equal(one, own) for one, own in zip(shuffled, frame.images, strict=True))


def change(name: str, index: int = 1) -> Frame:
    (variant,) = (one for one in EVERY if one.name == f"student, {name}")
    return variant.change(recorded(index), variants.Context(DRIVES, index, OTHERS))


def test_images():
    assert not change("blank images").images.any()
    np.testing.assert_array_equal(change("another scene's images").images, recorded(OTHERS[1]).images)
    shuffled, own = change("shuffled cameras").images, recorded(1).images
    source = [next(j for j in range(len(CAMERAS)) if np.array_equal(own[j], image)) for image in shuffled]
    assert sorted(source) == list(range(len(CAMERAS))) and all(i != j for i, j in enumerate(source))
    for i, camera in enumerate(CAMERAS):
        images = change(f"{camera} black").images
        assert [k for k in range(len(CAMERAS)) if not images[k].any()] == [i]
        np.testing.assert_array_equal(np.delete(images, i, 0), np.delete(own, i, 0))


def test_ego():
    assert not change("CAN bus zeroed").can_bus.any()
    assert change("always straight").command == "straight"


@pytest.mark.parametrize("factor", (0.5, 1.5))
@pytest.mark.parametrize("status", ("full", "speed", "none"))
def test_the_speed_and_the_way_that_it_implies(status, factor):
    """As if the vehicle had driven so fast: the rule of the ego inputs, on a recording that is scaled itself."""
    absolute = np.random.default_rng(0).uniform(1, 9, (2, 18))
    faster = absolute.copy()
    faster[:, 13] *= factor
    faster[:, :3] *= factor
    told = can_bus_input(list(absolute), status, [4, 5])[1]
    frame = variants.speed(factor, recorded(0)._replace(can_bus=told), variants.Context(DRIVES, 0, None))
    np.testing.assert_allclose(frame.can_bus, can_bus_input(list(faster), status, [4, 5])[1], rtol=1e-6)
    moved = np.flatnonzero(frame.can_bus != told).tolist()
    assert moved == {"full": [0, 1, 2, 13], "speed": [0, 13], "none": []}[status]


class Records(SimpleNamespace):
    def __len__(self):
        return len(self.scenes)


def test_other_images_are_those_of_the_next_scene_at_the_same_place():
    three = Records(scenes=list("aaabbcccc"), split="val", folder=Path("records"))
    others = variants.other_scene_records(three)
    assert others == [3, 4, 4, 5, 6, 0, 1, 2, 2] == variants.others_of(EVERY, three)
    assert all(three.scenes[i] != scene for i, scene in zip(others, three.scenes, strict=True))


def test_a_single_scene_has_no_other():
    one = Records(scenes=list("aa"), split="val", folder=Path("records"))
    with pytest.raises(UserError, match="has 1 scene; --other_images and --audit need at least 2"):
        variants.others_of(EVERY, one)
    assert variants.others_of(variants.chosen(True, False, False), one) is None
