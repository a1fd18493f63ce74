"""Yes and no, recorded and said."""

import pytest

from dima_jax.metrics.language import yes_no


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ("Yes.", True),
        ("No", False),
        ("no, it stands.", False),
        ("No such action will lead to a collision.", None),
        ("None.", None),
        ("The car, yes.", None),
        ("", None),
    ],
)
def test_what_is_recorded(truth, expected):
    assert yes_no.recorded(truth) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", True),
        ("It is not. No, yes.", False),
        ("I think YES", True),
        ("It is not a traffic sign, nothing is known.", None),
        ("", None),
    ],
)
def test_the_first_word_counts(answer, expected):
    assert yes_no.said(answer) is expected
