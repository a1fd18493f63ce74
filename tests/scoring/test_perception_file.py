"""Perception files: what is written is read, frame by frame; what cannot be scored is refused by its tokens."""

import numpy as np
import pytest

from dima_jax.detections import Agents, Lines
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, perception_file
from tests.damage import survey

TOKENS = ["a", "b", "c", "d"]
HEADER = {"planner": "ours", "pc_range": [-15.0, -30.0, -2.0, 15.0, 30.0, 2.0], "num_points": 20}


def frame(seed: int, agents: int, lines: int) -> tuple[Agents, Lines]:
    rng = np.random.default_rng(seed)

    def numbers(*shape):
        return rng.uniform(0.1, 0.9, shape).astype(np.float32)

    found = Agents(
        boxes=numbers(agents, 9),
        labels=rng.integers(0, 10, agents),
        scores=numbers(agents),
        futures=numbers(agents, 2, 6, 2),
        mode_scores=numbers(agents, 2),
        future_mask=np.ones((agents, 6), bool),
    )
    points = [numbers(int(rng.integers(2, 5)), 2) for _ in range(lines)]
    return found, Lines(points, rng.integers(0, 3, lines), numbers(lines))


FRAMES = [frame(0, 3, 2), frame(1, 0, 3), frame(2, 2, 0), frame(3, 4, 1)]


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "ours.perception.npz"
    perception_file.write(path, TOKENS, content(), HEADER)
    return path


def content():
    return perception_file.joined([perception_file.arrays(*one) for one in FRAMES])


def same(found: tuple[Agents, Lines], expected: tuple[Agents, Lines]) -> None:
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("labels", "scores"):
        np.testing.assert_array_equal(getattr(found[1], name), getattr(expected[1], name))
    assert len(found[1].points) == len(expected[1].points)
    for one, other in zip(found[1].points, expected[1].points, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_written_is_read_frame_by_frame(written):
    found = perception_file.load(written)
    assert found.tokens == TOKENS and found.file == "ours.perception.npz"
    assert {key: found.header[key] for key in HEADER} == HEADER
    for i, expected in enumerate(FRAMES):
        same(found.frame(i), expected)


def test_parts_join_like_frames(written, tmp_path):
    """A journal may keep one part for each scene."""
    frames = [perception_file.arrays(*one) for one in FRAMES]
    parts = [perception_file.joined(frames[:1]), perception_file.joined(frames[1:])]
    perception_file.write(tmp_path / "parts.npz", TOKENS, perception_file.joined(parts), HEADER)
    assert (tmp_path / "parts.npz").read_bytes() == written.read_bytes()
    with pytest.raises(ValueError):
        perception_file.joined([])


def test_a_file_without_a_planner_has_its_own_name(tmp_path):
    header = {key: value for key, value in HEADER.items() if key != "planner"}
    perception_file.write(tmp_path / "theirs.npz", TOKENS, content(), header)
    assert perception_file.load(tmp_path / "theirs.npz").header["planner"] == "theirs"


def changed(key, where, value):
    arrays = content()
    arrays[key] = arrays[key].copy()
    arrays[key][where] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (changed("boxes", (3, 7), np.nan), "1 of 4 frames have boxes that are no finite numbers: c;"),
        (changed("boxes", (slice(2, 6), 0), np.inf), "3 of 4 frames have boxes that are no finite numbers: a, c, d;"),
        (changed("boxes", (0, 4), 0.0), "1 of 4 frames have boxes without volume: a;"),
        (changed("futures", (8, 1, 5, 0), np.nan), "1 of 4 frames have futures that are no finite numbers: d;"),
        (changed("scores", 0, 1.5), "1 of 4 frames have scores outside of 0 to 1: a;"),
        (changed("mode_scores", (8, 1), -0.5), "1 of 4 frames have mode_scores outside of 0 to 1: d;"),
        (changed("labels", 3, 10), "1 of 4 frames have labels outside of 0 to 9: c;"),
        (changed("labels", 3, -1), "1 of 4 frames have labels outside of 0 to 9: c;"),
        (changed("line_labels", 2, 3), "1 of 4 frames have line_labels outside of 0 to 2: b;"),
        (changed("line_vertices", 0, np.nan), "1 of 4 frames have line_vertices that are no finite numbers: a;"),
        (changed("line_vertices", -1, np.nan), "1 of 4 frames have line_vertices that are no finite numbers: d;"),
        (changed("line_scores", 5, np.nan), "1 of 4 frames have line_scores that are no finite numbers: d;"),
    ],
)
def test_odd_numbers_are_refused_by_their_tokens(tmp_path, arrays, said):
    perception_file.write(tmp_path / "x.npz", TOKENS, arrays, HEADER)
    with pytest.raises(UserError) as error:
        perception_file.load(tmp_path / "x.npz")
    assert said in str(error.value)


def test_a_line_needs_two_vertices(tmp_path):
    arrays = content()
    arrays["line_vertex_start"] = arrays["line_vertex_start"].copy()
    arrays["line_vertex_start"][1] = 1
    perception_file.write(tmp_path / "x.npz", TOKENS, arrays, HEADER)
    with pytest.raises(UserError, match="1 of 4 frames have lines of fewer than two vertices: a;"):
        perception_file.load(tmp_path / "x.npz")


def without(key):
    return {name: array for name, array in content().items() if name != key}


@pytest.mark.parametrize(
    ("tokens", "arrays", "header", "said"),
    [
        (TOKENS, without("futures"), HEADER, "'futures' is missing or not known"),
        (TOKENS, content() | {"more": np.zeros(1)}, HEADER, "'more' is missing or not known"),
        (TOKENS, content() | {"boxes": np.zeros((9, 8))}, HEADER, r"boxes is float64 \[9, 8\], not"),
        (TOKENS, content() | {"labels": np.zeros(9)}, HEADER, "labels is float64"),
        (TOKENS, content() | {"scores": np.zeros(8)}, HEADER, "scores is float64"),
        (TOKENS, content() | {"mode_scores": np.zeros((9, 3))}, HEADER, "mode_scores is float64"),
        (TOKENS, content() | {"futures": np.zeros((9, 2, 5, 2))}, HEADER, "futures is float64"),
        (
            TOKENS,
            content() | {"futures": np.zeros((9, 0, 6, 2)), "mode_scores": np.zeros((9, 0))},
            HEADER,
            "no modes",
        ),
        (TOKENS[:3], content(), HEADER, "agent_start is int64"),
        (["a", "b", "a", "d"], content(), HEADER, "tokens has 'a' twice"),
        ([], content(), HEADER, "tokens is no list of texts, or empty"),
        (
            TOKENS,
            content() | {"agent_start": np.array([0, 3, 2, 5, 9])},
            HEADER,
            "agent_start does not divide 9 agents",
        ),
        (TOKENS, content() | {"line_start": np.array([0, 1, 2, 3, 5])}, HEADER, "line_start does not divide 6 lines"),
        (TOKENS, content(), {"num_points": 20}, "pc_range of the header is None"),
        (TOKENS, content(), HEADER | {"pc_range": [15, 0, 0, -15, 1, 1]}, "pc_range of the header is"),
        (TOKENS, content(), HEADER | {"pc_range": "all"}, "pc_range of the header is 'all'"),
        (TOKENS, content(), HEADER | {"num_points": 1}, "num_points of the header is 1, not 2 to"),
        (TOKENS, content(), HEADER | {"num_points": True}, "num_points of the header is True"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, tokens, arrays, header, said):
    """A ValueError where they are written, one line where somebody else wrote them."""
    with pytest.raises(ValueError, match=said):
        perception_file.write(tmp_path / "x.npz", tokens, arrays, header)
    told = {"format": perception_file.FORMAT, "version": 1} | header
    npz_file.write(tmp_path / "x.npz", {"tokens": np.array(tokens, str), **arrays}, told)
    with pytest.raises(UserError, match=said) as error:
        perception_file.load(tmp_path / "x.npz")
    assert len(str(error.value).splitlines()) == 1


def test_damaged_files_are_refused(written, tmp_path):
    def read(data: bytes) -> bool:
        (tmp_path / "b.npz").write_bytes(data)
        found = perception_file.load(tmp_path / "b.npz")
        return all(np.array_equal(array, found.arrays[key]) for key, array in content().items())

    assert survey(written.read_bytes(), read, 150, seed=3)["refused"] > 80
