"""Edited samples as rows of the LLM's batch, by numbers one can do in the head."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.teacher import edit_rows
from dima_jax.types import EditText, edited_samples


@pytest.mark.parametrize(
    ("batch_size", "share", "expected"),
    [
        (4, 1.0, 4),
        (4, 0.5, 2),
        (4, 0.3, 2),  # 1.2, rounded up
        (8, 0.7, 4),  # 5.6, rounded up to 6, which does not divide 8
        (7, 0.8, 1),  # 7 is prime
        (4, 0.01, 1),  # any share edits something
        (4, 0.0, 0),
    ],
)
def test_the_number_of_edits_divides_the_batch(batch_size, share, expected):
    assert edit_rows.num_edited(batch_size, share) == expected


def test_an_edited_copy_follows_the_group_of_its_sample():
    """Two edits of six samples: the copies of samples 0 and 3 come after samples 2 and 5."""
    samples = jnp.arange(6)
    edited = 10 + edited_samples(samples, 2)
    np.testing.assert_array_equal(edited, [10, 13])
    np.testing.assert_array_equal(edit_rows.insert(samples, edited), [0, 1, 2, 10, 3, 4, 5, 13])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_split_is_the_inverse_of_insert(count):
    """Of every array of a pytree, whatever its other axes."""
    samples = {"a": jnp.arange(6.0), "b": jnp.arange(24).reshape(6, 2, 2)}
    edited = {"a": -jnp.arange(float(count)), "b": -jnp.arange(4 * count).reshape(count, 2, 2)}
    rows = edit_rows.insert(samples, edited)
    assert rows["a"].shape == (6 + count,) and rows["b"].shape == (6 + count, 2, 2)
    for before, after in zip((samples, edited), edit_rows.split(rows, count), strict=True):
        for name, value in before.items():
            assert after[name].dtype == value.dtype
            np.testing.assert_array_equal(after[name], value)


def test_the_text_is_that_of_the_edit_of_the_edited_sample():
    """Two edits of four samples: samples 0 and 2. A token says which sample (tens) and which text (ones) it is of."""
    tokens = 10 * jnp.arange(4)[:, None, None] + jnp.arange(6)[None, :, None] + jnp.zeros((1, 1, 3), jnp.int32)
    text = edit_rows.select_text(EditText(tokens, tokens > 3, tokens > 20), jnp.array([5, 1]))
    np.testing.assert_array_equal(text.tokens, [[5, 5, 5], [21, 21, 21]])
    np.testing.assert_array_equal(text.mask[:, 0], [True, True])
    np.testing.assert_array_equal(text.answer_mask[:, 0], [False, True])
