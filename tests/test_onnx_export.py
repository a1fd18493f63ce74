"""The exported student (docs/decisions.md#exported-student): as JAX over frames, silent, and NaN for impossible inputs."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from flax import nnx

from dima_jax import (
    __version__,
    commit,
    export,
    fake_frames,
    interface,
    jax_student,
    onnx_export,
    onnx_graph,
    onnx_student,
    weights,
)
from dima_jax.errors import UserError
from dima_jax.jax_student import JaxStudent
from dima_jax.onnx_student import OnnxStudent, open_session
from dima_jax.student import student as student_lib
from tests.mini import mini_config

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
OPERATORS = """
    Abs Add And ArgMax ArgMin Atan Cast Concat ConstantOfShape Conv Cos CumSum Div Equal Exp Expand Floor Gather GatherND
    Gemm Greater GreaterOrEqual Identity If Less LessOrEqual Log MatMul Max MaxPool Min Mul Neg Not Or Pad Range ReduceL2
    ReduceMax ReduceMin ReduceSum ReduceSumSquare Relu Reshape Round Shape Sigmoid Sin Slice Softmax Split Sqrt
    Squeeze Sub Tile Transpose Unsqueeze Where
"""
SAMPLING = {
    "grid_sample": {"GridSample", "ScatterElements"},
    "gather": {"Loop"},
}  # with the operators that each form has for itself
REAL = ("lidar2img", "can_bus", "prev_bev")  # inputs of real numbers that may have any value


@pytest.fixture(scope="module")
def config():
    return mini_config()


@pytest.fixture(scope="module")
def student(config):
    return JaxStudent(config, weights.split(student_lib.build(config, nnx.Rngs(3)))[1])


@pytest.fixture(scope="module")
def files(student, tmp_path_factory):
    """{sampling: exported file}, batch size 2."""
    folder = tmp_path_factory.mktemp("export")
    return {form: onnx_export.export_student(student, folder / f"{form}.onnx", 2, form) for form in SAMPLING}


@pytest.fixture(scope="module")
def file(files):
    return files["grid_sample"]


def a_frame(config):
    return fake_frames.drive(config.data.image_shape, 2, batch_size=2)[1]


def a_feed(config) -> dict[str, np.ndarray]:
    """Inputs of a batch of two with a previous BEV."""
    frame, shape = a_frame(config), jax_student.input_specs(config, 2)["prev_bev"].shape
    return dict(
        images=frame.images,
        lidar2img=np.array(frame.lidar2img),
        can_bus=frame.can_bus,
        command=np.eye(3, dtype=np.float32)[:2],
        prev_bev=np.random.default_rng(0).normal(size=shape).astype(np.float32),
        has_prev_bev=np.array([True, True]),
    )


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("level", ["ORT_ENABLE_ALL", "ORT_DISABLE_ALL"])
def test_equals_jax_over_frames(config, student, files, monkeypatch, sampling, level):
    """With what onnxruntime makes of the graph, and with the graph as it stands."""

    def open_at_level(file, threads):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnx_student, "open_session", open_at_level)
    worst = onnx_export.compare(student, files[sampling], fake_frames.drive(config.data.image_shape, 3, batch_size=2))
    assert set(worst) == set(interface.Outputs._fields)
    assert worst["waypoints"] <= export.TOLERANCE == 1e-4
    assert max(worst.values()) <= 1e-3


def test_a_bfloat16_student_is_exported_and_compared_in_float32(config, student, files, tmp_path):
    config = config.copy_and_resolve_references()
    config.student.dtype = "bfloat16"
    half = JaxStudent(config, student.params)
    frames = fake_frames.drive(config.data.image_shape, 1, batch_size=2)
    assert onnx_export.compare(half, files["gather"], frames)["waypoints"] <= export.TOLERANCE
    exported = onnx.load(onnx_export.export_student(half, tmp_path / "half.onnx", 2, "gather")).graph
    assert exported == onnx.load(files["gather"]).graph


def test_nan_is_a_difference(student, monkeypatch):
    class Broken(OnnxStudent):
        def __init__(self, file):
            pass

        def __call__(self, *inputs):
            outputs, _ = student(*inputs)
            return outputs._replace(waypoints=np.full_like(outputs.waypoints, np.nan)), None

    monkeypatch.setattr(onnx_export, "OnnxStudent", Broken)
    worst = onnx_export.compare(student, "", fake_frames.drive(student.info.image_shape, 2, batch_size=2))
    assert np.isnan(worst["waypoints"]) and worst["waypoints_all"] < np.inf


@pytest.mark.parametrize("sampling", SAMPLING)
def test_a_default_session_prints_nothing(files, capfd, sampling):
    onnxruntime.InferenceSession(files[sampling])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in REAL for value in (np.nan, np.inf, -np.inf, 3e38, -1.1e6)),
        *(("command", value) for value in ([0, 0, 0], [1, 1, 0], [0.5, 0.5, 0], [np.nan, 1, 0], [2, -1, 0], [2, 0, 0])),
    ],
)
def test_an_input_that_cannot_be_right_gives_nan(config, student, file, name, value):
    """In every output of its sample, of the file as of JAX; one number is enough. The other sample is as it was."""
    session, feed = open_session(str(file)), a_feed(config)
    names = list(interface.Outputs._fields)
    expected = session.run(names, feed)
    feed[name] = feed[name].copy()
    if name == "command":
        feed[name][1] = value
    else:
        feed[name][1].reshape(-1)[-1] = value
    decoded, _ = student(*[x for key, x in feed.items() if key != "has_prev_bev"])
    for got, in_jax, before in zip(session.run(names, feed), decoded, expected, strict=True):
        assert np.isfinite(before).all() and np.isnan(got[1]).all() and np.isnan(in_jax[1]).all()
        np.testing.assert_allclose(got[0], before[0], atol=1e-5)


def test_a_previous_bev_that_is_not_read_may_hold_anything(config, file):
    session, feed = open_session(str(file)), a_feed(config) | {"has_prev_bev": np.array([True, False])}
    expected = session.run(None, feed)
    feed["prev_bev"][1] = np.nan
    for got, before in zip(session.run(None, feed), expected, strict=True):
        np.testing.assert_array_equal(got, before)


def test_large_but_possible_numbers_are_taken(config, file):
    session, feed = open_session(str(file)), a_feed(config)
    for name in REAL:
        feed[name][1].reshape(-1)[-1] = 1e6
    assert all(np.isfinite(x).all() for x in session.run(None, feed))


def test_a_camera_of_zeros_sees_nothing(config, file):
    session, feed = open_session(str(file)), a_feed(config)
    feed["lidar2img"][:, 2] = 0.0
    expected = session.run(None, feed)
    feed["images"] = feed["images"].copy()
    feed["images"][:, 2] = 255 - feed["images"][:, 2]
    for got, before in zip(session.run(None, feed), expected, strict=True):
        np.testing.assert_array_equal(got, before)


def test_half_precision(config, file):
    """docs/export.md#half-precision: the file is smaller, valid, silent, and plans nearly the same."""
    model = onnx.load(file)
    onnx_graph.use_half_precision(model.graph)
    onnx_graph.prune(model.graph)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    assert len(data) < 0.95 * file.stat().st_size
    before, after = open_session(str(file)), open_session(data)
    for a, b in zip(before.get_inputs(), after.get_inputs(), strict=True):
        assert (a.name, a.type, a.shape) == (b.name, b.type, b.shape)
    feed = a_feed(config)
    expected, got = (session.run(["waypoints_all"], feed)[0] for session in (before, after))
    assert 1e-6 < np.abs(expected - got).max() < 0.02
    assert after.get_modelmeta().custom_metadata_map == before.get_modelmeta().custom_metadata_map


def test_a_file_that_cannot_be_written_is_one_line(student, file, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"is a folder; name the file to write, e\.g\. --out=.*student\.onnx"):
        onnx_export.export_student(student, tmp_path)
    monkeypatch.setattr("jax2onnx.to_onnx", lambda *args, **options: onnx.load(file))  # the minutes
    (tmp_path / "text").write_text("")
    with pytest.raises(UserError, match=r"text/student\.onnx: .*text cannot be written; give a file"):
        onnx_export.export_student(student, tmp_path / "text" / "student.onnx")
    (tmp_path / "student.onnx").write_text("old")

    def no_space(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", no_space)
    with pytest.raises(UserError, match=r"student\.onnx: No space left on device"):
        onnx_export.export_student(student, tmp_path / "student.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student.onnx", "text"]
    assert (tmp_path / "student.onnx").read_text() == "old"


def test_outputs_follow_the_inputs(config, file):
    """The file computes: what it plans depends on images, previous BEV and command."""
    session, feed, frame = open_session(str(file)), a_feed(config), a_frame(config)
    waypoints, everything = session.run(["waypoints", "waypoints_all"], feed)
    np.testing.assert_array_equal(waypoints, everything[[0, 1], [0, 1]])
    for name, value in (("images", frame.images[:, ::-1]), ("has_prev_bev", np.array([True, False]))):
        changed = session.run(["waypoints_all"], {**feed, name: value})[0]
        assert np.abs(changed - everything)[1].max() > 1e-6, name


@pytest.mark.parametrize("sampling", SAMPLING)
def test_is_plain_onnx_with_the_documented_interface(config, files, sampling):
    model = onnx.load(files[sampling])
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": onnx_export.OPSET}
    nodes = list(onnx_graph.all_nodes(model.graph))
    assert {node.domain for node in nodes} == {""}
    operators = {node.op_type for node in nodes}
    assert SAMPLING[sampling] <= operators <= SAMPLING[sampling] | set(OPERATORS.split())
    stored = {tensor.name for tensor in model.graph.initializer}
    convs = [node for node in nodes if node.op_type == "Conv"]
    assert len(convs) == 1 + 2 * 3 + 2 + 2  # stem, blocks, shortcuts, pyramid: 1x1 ones too
    assert all(len(node.input) == 3 and stored.issuperset(node.input[1:]) for node in convs)
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.output)
    }
    assert [value.name for value in model.graph.input] == list(interface.INPUTS)
    assert [value.name for value in model.graph.output] == list(interface.Outputs._fields)
    s, (height, width) = config.student, config.data.image_shape
    sizes = {"B": 2, "H": height, "W": width, "Y*X": s.bev_shape[0] * s.bev_shape[1], "D": s.width}
    sizes |= {"A": s.num_agents, "K": s.num_modes, "M": s.num_map, "P": s.num_points}
    for name, shape in shapes.items():
        letters = documented_shape(name).split(", ")
        assert tuple(sizes[x] if x in sizes else int(x) for x in letters) == shape, name


def documented_shape(name: str) -> str:
    """The shape, without brackets, that docs/export.md gives an input or output in its tables."""
    rows = re.findall(rf"(?m)^\| `{name}` \| `\[([^\]]*)\]`.*\|$", PAGE.read_text())
    assert len(rows) == 1, name
    return rows[0]


def test_metadata_says_what_the_student_reads(config, file):
    properties = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    everything = {key.removeprefix("dima_jax."): json.loads(value) for key, value in properties.items()}
    known = commit.describe() != commit.UNKNOWN
    assert everything["version"] == __version__
    assert re.search("[0-9a-f]{7}|^v" if known else "^unknown$", everything["commit"])
    assert {*interface.ModelInfo._fields, *interface.CONVENTIONS, "can_bus"} == {*everything} - {"version", "commit"}
    info = interface.ModelInfo.from_metadata(properties, "file")
    assert info == interface.ModelInfo.from_config(config)
    assert info.image_shape == tuple(config.data.image_shape) and info.commands == ("right", "left", "straight")
    assert OnnxStudent(file).info == info and OnnxStudent(file).batch_size == 2
