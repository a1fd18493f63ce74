"""Frames in memory are the windows that training reads, in its order."""

import jax
import numpy as np
import pytest

from dima_jax.data import loader, questions
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.data.records import Records
from dima_jax.study import frames
from dima_jax.types import TaughtEgo
from tests import tiny_root
from tests.vector import mini


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    config = mini.vector_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))
    config.data.cameras = ()
    return config


def test_a_step_has_the_windows_of_training(config):
    tokens, batch = frames.windows(config, "train")
    words = frames.words(config, "train", 3)
    chosen = frames.order(len(tokens), seed=5, steps=3, batch=4, count=3)
    config.seed = 5
    windows = loader.TrainWindows(config)
    for step, (rows, question) in enumerate(zip(*chosen, strict=True)):
        expected = windows.batch(4 * step, 4)
        found = jax.tree.map(np.asarray, frames.choose(batch, words, None, rows, question))
        assert found.index.tolist() == expected.index.tolist()
        lines = {name: getattr(expected.map, name)[:, :, :1] for name in ("points", "normalized_points", "order_mask")}
        expected = expected.replace(map=expected.map.replace(**lines), text=found.text)
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)  # a pose relative to itself is rounded


def test_questions_are_those_of_the_frame(config):
    words, records, tokenizer = frames.words(config, "train", 8), Records(config.data.path, "train"), ByteTokenizer()
    assert words.text.tokens.shape == (len(records), 8, config.data.max_text)
    for i in range(len(records)):
        asked = {tokenizer.decode(row) for row in words.text.tokens[i]}
        pairs = [pair for kind in questions.candidates(records.decode(i)) for pair in kind]
        assert asked <= {f"USER: {question} ASSISTANT: {answer}" for question, answer in pairs}
        assert len(asked) > 1 or len(pairs) == 1


def test_without_an_llm_nothing_is_asked_and_what_is_taught_follows_the_rows(config):
    tokens, batch = frames.windows(config, "val")
    taught = TaughtEgo(np.arange(len(tokens)), 10 * np.arange(len(tokens)))
    found = frames.choose(batch, None, taught, np.array([3, 1]), np.array([0, 0]))
    assert found.text is None and found.taught.ego_feature.tolist() == [3, 1]
    assert found.taught.ego_offsets.tolist() == [30, 10]


def test_seeds_take_windows_in_another_order():
    first, second = (frames.order(11, seed, 11, 2, 4) for seed in (0, 1))
    assert (first.rows != second.rows).any() and (first.question != second.question).any()
    assert sorted(first.rows.ravel()[:11].tolist()) == list(range(11))
    assert set(np.unique(first.question)) <= {0, 1, 2, 3}
