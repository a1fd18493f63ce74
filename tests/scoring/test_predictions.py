"""Files of plans: every way to write them gives the same, and what cannot be scored is refused by its tokens."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, predictions
from tests.damage import survey

N = 9
TOKENS = [f"token{i:02d}" for i in range(N)]
HEADER = {
    "format": predictions.FORMAT,
    "version": 1,
    "planner": "p",
    "frame": "ego",
    "steps": 6,
    "start_included": False,
}


def plans(columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(N, 6, columns)).cumsum(axis=1).round(3)


def as_json(path, table, **header):
    told = HEADER | header if header or header == {} else {}
    path.write_text(json.dumps(told | {"predictions": table}))
    return path


def same(found, expected):
    assert found.tokens == TOKENS and found.plans.dtype == np.float64
    np.testing.assert_allclose(found.plans, expected, atol=1e-6)


@pytest.mark.parametrize("columns", [2, 3])
def test_every_way_to_write_them_gives_the_same(tmp_path, columns):
    given = plans(columns)
    table = dict(zip(TOKENS, given, strict=True))
    lists = {token: plan.tolist() for token, plan in table.items()}
    predictions.write(tmp_path / "a.npz", TOKENS, {"plans": given.astype(np.float32)}, HEADER | {"seed": 3})
    as_json(tmp_path / "b.json", lists, seed=3)
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(HEADER | {"predictions": table, "seed": 3}))
    for name in ("a.npz", "b.json", "c.pkl"):
        found = predictions.load(tmp_path / name)
        same(found, given)
        assert (found.planner, found.file, found.frame, found.seed) == ("p", name, "ego", 3)
    np.savez(tmp_path / "d.npz", **table)
    (tmp_path / "e.json").write_text(json.dumps(lists))
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(table))
    for name in ("d.npz", "e.json", "f.pkl"):
        found = predictions.load(tmp_path / name, "lidar")
        same(found, given)
        assert (found.planner, found.frame, found.seed) == (name[0], "lidar", None)


def test_of_several_modes_the_chosen_one_counts(tmp_path):
    modes, chosen = np.random.default_rng(0).normal(size=(N, 3, 6, 2)), np.arange(N) % 3
    expected = modes[np.arange(N), chosen]
    predictions.write(tmp_path / "a.npz", TOKENS, {"modes": modes.astype(np.float32), "chosen": chosen}, HEADER)
    table = {t: {"modes": m.tolist(), "chosen": int(c)} for t, m, c in zip(TOKENS, modes, chosen, strict=True)}
    as_json(tmp_path / "b.json", table)
    for name in ("a.npz", "b.json"):
        same(predictions.load(tmp_path / name), expected)
    predictions.write(tmp_path / "c.npz", TOKENS, {"modes": modes, "chosen": np.where(chosen == 2, 3, chosen)}, HEADER)
    with pytest.raises(
        UserError, match="3 of 9 plans choose a mode that is not there: token02, token05, token08; say 0 to 2"
    ):
        predictions.load(tmp_path / "c.npz")
    as_json(tmp_path / "d.json", table | {"token04": {"modes": modes[4].tolist(), "chosen": 3}})
    with pytest.raises(UserError, match=r"1 of 9 plans are no .*: token04"):
        predictions.load(tmp_path / "d.json")
    predictions.write(tmp_path / "e.npz", TOKENS, {"modes": modes}, HEADER)
    with pytest.raises(UserError, match="modes without their numbers `chosen`"):
        predictions.load(tmp_path / "e.npz")


def test_a_start_that_is_included_is_dropped(tmp_path):
    given = plans()
    started = np.concatenate([np.full((N, 1, 2), 0.003), given], axis=1)
    table = {token: plan.tolist() for token, plan in zip(TOKENS, started, strict=True)}
    same(predictions.load(as_json(tmp_path / "a.json", table, start_included=True)), given)
    (tmp_path / "b.json").write_text(json.dumps(table))
    same(predictions.load(tmp_path / "b.json", "ego", start_included=True), given)
    with pytest.raises(UserError, match=r"9 of 9 plans are no \[6, 2\].*\[7, 2\]: token00, .* need --start_included"):
        predictions.load(tmp_path / "b.json", "ego")
    table["token03"][0] = [0.02, 0.0]
    (tmp_path / "b.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"1 of 9 plans do not start within 0\.01 m of 0: token03"):
        predictions.load(tmp_path / "b.json", "ego", start_included=True)


def spoiled(kind, rng, table):
    """(what the message says, the tokens it is of); the table of lists is changed."""
    most = N // 2 if kind == "shape" else N  # which shape is right, most of them say
    chosen = sorted(rng.choice(N, rng.integers(1, most), replace=False).tolist())
    for i in chosen:
        plan = table[TOKENS[i]]
        row, column = rng.integers(6), rng.integers(2)
        if kind == "NaN":
            plan[row][column] = float("nan")
        elif kind == "inf":
            plan[row][column] = float(rng.choice([-1, 1])) * float("inf")
        elif kind == "far":
            plan[row][column] = float(rng.choice([-1, 1])) * rng.uniform(1000.1, 1e9)
        else:
            table[TOKENS[i]] = [
                plan[:5],
                [*plan, [0.0, 0.0]],
                [[1.0]] * 6,
                [[1.0, 2.0, 3.0]] * 6,
                [[1.0, "2"]] * 6,
                [[1.0, None]] * 6,
                [plan],
                None,
                "text",
                [],
                {"x": 1},
                [[1.0, 2.0]] * 5 + [[1.0]],
                np.transpose(plan).tolist(),
                [plan[:3], plan[3:]],
            ][rng.integers(14)]
    said = {"NaN": "hold NaN", "inf": "hold an infinite number", "far": "go farther than 1,000 m", "shape": "are no"}
    return said[kind], [TOKENS[i] for i in chosen]


@pytest.mark.parametrize("kind", ["NaN", "inf", "far", "shape"])
@pytest.mark.parametrize("suffix", ["json", "pkl"])
def test_what_cannot_be_scored_is_refused_by_token(tmp_path, kind, suffix):
    rng = np.random.default_rng(5)
    for _ in range(40):
        table = {token: plan.tolist() for token, plan in zip(TOKENS, plans(), strict=True)}
        said, tokens = spoiled(kind, rng, table)
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(json.dumps(table).encode() if suffix == "json" else pickle.dumps(table))
        with pytest.raises(UserError) as caught:
            predictions.load(path, "ego")
        text = str(caught.value)
        assert text.startswith(f"{path}: {len(tokens)} of {N} plans ") and said in text and len(text.splitlines()) == 1
        assert predictions.named(tokens) in text


@pytest.mark.parametrize(("value", "said"), [(np.nan, "hold NaN"), (-np.inf, "infinite"), (5e6, "farther")])
def test_arrays_are_checked_too(tmp_path, value, said):
    given = plans()
    given[4, 2, 1] = value
    predictions.write(tmp_path / "a.npz", TOKENS, {"plans": given}, HEADER)
    with pytest.raises(UserError, match=f"1 of 9 plans .*{said}.*: token04"):
        predictions.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "shape", [(N, 5, 2), (N, 7, 2), (N, 2, 6), (N, 6), (N, 6, 4), (N, 6, 1), (N - 1, 6, 2), (6, 2)]
)
def test_arrays_of_other_shapes_are_refused(tmp_path, shape):
    predictions.write(tmp_path / "a.npz", TOKENS, {"plans": np.zeros(shape)}, HEADER)
    with pytest.raises(UserError) as caught:
        predictions.load(tmp_path / "a.npz")
    assert len(str(caught.value).splitlines()) == 1 and str(list(shape))[1:-1] in str(caught.value)


def test_duplicates_are_refused_by_token(tmp_path):
    plan = plans()[0].tolist()
    pairs = ", ".join(f'"{token}": {json.dumps(plan)}' for token in ["a", "b", "a", "c", "b", "a"])
    (tmp_path / "a.json").write_text(f"{{{pairs}}}")
    with pytest.raises(UserError, match="2 of 6 plans stand twice: a, b; give each frame one plan"):
        predictions.load(tmp_path / "a.json", "ego")
    (tmp_path / "b.json").write_text(json.dumps(HEADER)[:-1] + f', "predictions": {{{pairs}}}}}')
    with pytest.raises(UserError, match="2 of 6 plans stand twice: a, b"):
        predictions.load(tmp_path / "b.json")
    predictions.write(tmp_path / "c.npz", ["a", "b", "a"], {"plans": plans()[:3]}, HEADER)
    with pytest.raises(UserError, match="1 of 3 plans stand twice: a"):
        predictions.load(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frame": None}, "frame is None; say 'lidar' or 'ego'"),
        ({"steps": 12}, "steps is 12; scored are 6 steps of 0.5 s"),
        ({"step_seconds": 1.0}, "step_seconds is 1.0"),
        ({"start_included": "no"}, "start_included is 'no'; say true or false"),
        ({"version": 2}, "version 2; give dima_jax.predictions, 1"),
        ({"format": "other"}, "format 'other'"),
        ({"predictions": None}, "no table `predictions`"),
        ({"predictions": {}}, "holds no plan"),
        ({"planner": 3}, "planner is 3; give its name"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path, change, said):
    table = {token: plan.tolist() for token, plan in zip(TOKENS, plans(), strict=True)}
    (tmp_path / "a.json").write_text(json.dumps(HEADER | {"predictions": table} | change))
    with pytest.raises(UserError, match=said) as caught:
        predictions.load(tmp_path / "a.json")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", predictions.REQUIRED)
def test_frame_steps_and_start_are_required(tmp_path, key):
    table = {token: plan.tolist() for token, plan in zip(TOKENS, plans(), strict=True)}
    header = {name: value for name, value in HEADER.items() if name != key}
    (tmp_path / "a.json").write_text(json.dumps(header | {"predictions": table}))
    with pytest.raises(UserError, match=f"the header lacks {key}"):
        predictions.load(tmp_path / "a.json")
    npz_file.write(tmp_path / "b.npz", {"tokens": np.array(TOKENS), "plans": plans()}, header)
    with pytest.raises(UserError, match=f"the header lacks {key}"):
        predictions.load(tmp_path / "b.npz")


def test_the_callers_frame_never_overrides_the_files(tmp_path):
    path = as_json(tmp_path / "a.json", {"t": plans()[0].tolist()})
    assert predictions.load(path, "ego").frame == "ego"
    with pytest.raises(UserError, match="says frame 'ego', --frame=lidar; leave out --frame"):
        predictions.load(path, "lidar")
    with pytest.raises(UserError, match="hold no start; leave out --start_included"):
        predictions.load(path, start_included=True)
    (tmp_path / "b.json").write_text(json.dumps({"t": plans()[0].tolist()}))
    with pytest.raises(UserError, match=r"does not say whose origin .* give --frame=lidar or --frame=ego"):
        predictions.load(tmp_path / "b.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b"{}", b'{"a": NaN}', b"PK\3\4", b"\x80\x04.", b'{"a": 1e400}', b"[" * 100_000, b"\xff\xfe"],
)
def test_what_is_no_file_of_plans_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        predictions.load(path, "ego")
    assert len(str(caught.value).splitlines()) == 1 and str(path) in str(caught.value)
    with pytest.raises(UserError, match="give a file of plans"):
        predictions.load(tmp_path / "absent.npz", "ego")


def test_numbers_of_json_that_no_float_holds_are_far(tmp_path):
    (tmp_path / "a.json").write_text(f'{{"t": {json.dumps([[10**400, 0]] + [[0, 0]] * 5)}}}')
    with pytest.raises(UserError, match="infinite number: t"):
        predictions.load(tmp_path / "a.json", "ego")


def test_damage_is_refused_or_does_not_matter(tmp_path):
    predictions.write(tmp_path / "a.npz", TOKENS, {"plans": plans()}, HEADER)

    def read(content: bytes) -> bool:
        (tmp_path / "b.npz").write_bytes(content)
        found = predictions.load(tmp_path / "b.npz")
        return found.tokens == TOKENS and bool((found.plans == plans()).all())

    assert survey((tmp_path / "a.npz").read_bytes(), read, 150, seed=3)["refused"] > 80


def recipe(name: str) -> str:
    """The converter of a section of the page."""
    text = (Path(__file__).parents[2] / "docs" / "scores" / "predictions.md").read_text()
    return text.partition(f"## From {name}'s results")[2].partition("```python\n")[2].partition("```")[0]


def test_the_converters_of_the_page(tmp_path, monkeypatch):
    """On results in the layout of either project, with tensors as they write them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    steps, command = rng.normal(size=(N, 3, 6, 2)).astype(np.float32), np.arange(N) % 3
    vad = {
        t: [s, np.eye(3, dtype=np.float32)[c].reshape(1, 1, 1, 3)]
        for t, s, c in zip(TOKENS, steps, command, strict=True)
    }
    Path("vad_plans.pkl").write_bytes(pickle.dumps({"plan_results": vad}, 2))
    exec(recipe("VAD"), {})
    same(predictions.load("vad.npz"), steps.cumsum(axis=2)[np.arange(N), command])
    plans = rng.normal(size=(N, 1, 6, 2)).astype(np.float32)
    rows = [{"token": t, "planning_traj": p * [-1, 1]} for t, p in zip(TOKENS, plans, strict=True)]
    Path("uniad_plans.pkl").write_bytes(pickle.dumps(rows, 2))
    exec(recipe("UniAD"), {})
    same(predictions.load("uniad.npz"), plans[:, 0])
    assert predictions.load("uniad.npz").planner == "UniAD"
