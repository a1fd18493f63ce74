"""The conversion engine on a small table: both directions, strictness, and one tensor at a time."""

import gc
import weakref

import numpy as np
import pytest

from dima_jax.convert import rules
from dima_jax.convert.rules import CONV, LINEAR, Rule, Target
from dima_jax.errors import UserError

TABLE = (
    Rule("conv.{i}.{k}.weight", ("blocks/{i}/{k}/kernel",), CONV),
    Rule("layers.{i}.qkv.weight", ("layers[{i}]/q/kernel", "layers[{i}]/k/kernel", "layers[{i}]/v/kernel"), LINEAR),
    Rule("layers.{i}.norm", ("layers[{i}]/norm/scale",)),
    Rule("embed", ("embed/table",)),
)
SHAPES = {
    "blocks/0/2/kernel": (3, 5, 2, 4),
    **{f"layers/{name}/kernel": (2, 6, 7) for name in "qkv"},
    "layers/norm/scale": (2, 6),
    "embed/table": (9, 6),
}
IGNORED = (r".*\.counter",)


def state_dict() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"conv.0.2.weight": (4, 2, 3, 5), "embed": (9, 6)}
    for i in range(2):
        shapes |= {f"layers.{i}.qkv.weight": (21, 6), f"layers.{i}.norm": (6,)}
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def expected(dtype=np.float32) -> dict[str, np.ndarray]:
    return {path: np.zeros(shape, dtype) for path, shape in SHAPES.items()}


def test_tensors_are_permuted_split_and_stacked():
    source = state_dict()
    params, assignments = rules.to_params(TABLE, IGNORED, source | {"layers.0.counter": np.zeros(())}, expected())
    assert {path: value.shape for path, value in params.items()} == SHAPES
    np.testing.assert_array_equal(
        params["blocks/0/2/kernel"], np.moveaxis(source["conv.0.2.weight"], (2, 3, 1, 0), (0, 1, 2, 3))
    )
    for i in range(2):
        for name, part in zip("qkv", np.split(source[f"layers.{i}.qkv.weight"], 3), strict=True):
            np.testing.assert_array_equal(params[f"layers/{name}/kernel"][i], part.T)
        np.testing.assert_array_equal(params["layers/norm/scale"][i], source[f"layers.{i}.norm"])
    assert assignments.ignored == ("layers.0.counter",)
    assert list(map(str, assignments.used["layers.1.qkv.weight"].targets)) == [f"layers/{x}/kernel[1]" for x in "qkv"]
    assert assignments.used["embed"].targets == (Target("embed/table", None),)


def test_there_and_back():
    source = state_dict()
    params, _ = rules.to_params(TABLE, IGNORED, source, expected())
    back = rules.to_state_dict(TABLE, params)
    assert back.keys() == source.keys()
    for key, tensor in source.items():
        np.testing.assert_array_equal(back[key], tensor, err_msg=key)
        assert back[key].flags.c_contiguous


def test_values_are_cast_to_the_expected_dtype():
    params, _ = rules.to_params(TABLE, IGNORED, state_dict(), expected(np.float16))
    assert {value.dtype for value in params.values()} == {np.dtype(np.float16)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mystery": (3,)}, "unknown key 'mystery'"),
        ({"layers.x.norm": (6,)}, "unknown key 'layers.x.norm'"),
        ({f"layers.{'9' * 5000}.norm": (6,)}, "unknown key"),
        ({"layers.2.norm": (6,)}, r"extra key 'layers\.2\.norm': this model has no weight 'layers/norm/scale\[2\]'"),
        ({"conv.1.2.weight": (4, 2, 3, 5)}, r"extra key 'conv\.1\.2\.weight'"),
        ({"layers.01.norm": (6,)}, r"'layers\.01\.norm' sets the weight 'layers/norm/scale\[1\]' a second time"),
        ({"embed": None}, r"missing key 'embed' of the weight 'embed/table' \(1 missing"),
        ({"layers.1.qkv.weight": None}, r"missing key 'layers\.1\.qkv\.weight' .*\(3 missing"),
        ({"layers.0.norm": (7,)}, r"'layers\.0\.norm' has shape \(7,\) where \(6,\)"),
        ({"layers.0.norm": (1, 6)}, r"shape \(1, 6\) where \(6,\)"),
        ({"embed": ()}, r"shape \(\) where \(9, 6\)"),
        ({"layers.0.qkv.weight": (6, 21)}, r"shape \(6, 21\) where \(21, 6\)"),
        ({"layers.0.qkv.weight": (20, 6)}, r"shape \(20, 6\) where \(21, 6\)"),
        ({"conv.0.2.weight": (2, 4, 3, 5)}, r"shape \(2, 4, 3, 5\) where \(4, 2, 3, 5\)"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_before_anything_is_read(change, message):
    source = {key: tensor.shape for key, tensor in state_dict().items()} | change
    source = {key: shape for key, shape in source.items() if shape is not None}
    with pytest.raises(UserError, match=message):
        rules.assign(TABLE, IGNORED, source, SHAPES)


def test_two_keys_for_one_weight_are_refused():
    table = [Rule("a", ("x",)), Rule("b", ("x",))]
    with pytest.raises(UserError, match=r"'b' sets the weight 'x' a second time, after 'a'"):
        rules.to_params(table, (), {"a": np.zeros(2), "b": np.zeros(2)}, {"x": np.zeros(2)})


def test_a_weight_without_a_rule_is_named():
    with pytest.raises(UserError, match="no conversion rule leads to the weight 'head'"):
        rules.to_state_dict(TABLE, {"head": np.zeros(2)})
    with pytest.raises(UserError, match="no conversion rule leads to the weight 'head'"):
        rules.assign(TABLE, (), {}, {"head": (2,)})


def test_a_packed_tensor_needs_all_its_parts():
    params = {"layers/q/kernel": np.zeros((2, 6, 7)), "layers/v/kernel": np.zeros((2, 6, 7))}
    with pytest.raises(UserError, match=r"no weight 'layers/k/kernel\[0\]'"):
        rules.to_state_dict(TABLE, params)


def test_no_tensor_outlives_its_turn():
    source = state_dict()
    assignments = rules.assign(TABLE, IGNORED, {key: tensor.shape for key, tensor in source.items()}, SHAPES)
    alive, read_keys, written = [], [], []

    class Tensor(np.ndarray):  # a class of its own, since a plain array of NumPy takes no weak reference
        pass

    def read(key):
        gc.collect()
        assert [ref for ref in alive if ref() is not None] == []
        read_keys.append(key)
        tensor = source[key].copy().view(Tensor)
        alive.append(weakref.ref(tensor))
        return tensor

    rules.transfer(assignments, read, lambda target, part: written.append(target))
    assert read_keys == list(source)
    assert len(written) == len(set(written)) == 1 + 1 + 2 * 4


def test_the_file_of_a_mismatch_is_named():
    with pytest.raises(UserError, match=r"^x\.pth: unknown key 'a'"), rules.naming("x.pth"):
        rules.assign(TABLE, IGNORED, {"a": (3,)}, SHAPES)
    with pytest.raises(UserError, match=r"^what names its file$"), rules.naming("x.pth"):
        raise UserError("what names its file")
