"""Values that a field may hold and values that it may not, one by one and as a column."""

import math

import pytest

from data_prep.root_check import fields

UNIT = [1, 0.0, 0, 0]
PINHOLE = [[300, 0, 160.5], [0, 300.0, 90], [0, 0, 1]]
CASES = [
    (fields.text(), ["", "a", "\u00e4"], [None, 1, "\ud800", ["a"]]),
    (fields.word(), ["scene-0001", "a b"], ["", "a/b", "a\nb", "a\0", None, 3]),
    (fields.token(), ["a"], ["", None, 3]),
    (fields.token(may_be_empty=True), ["a", ""], [None, 3]),
    (fields.tokens("log"), [[], ["a", "b"]], ["a", None, [1]]),
    (fields.file_name(), ["a/b.jpg", "a..b", "..a/x"], ["", "/a", "../a", "a/../b", "a\\b", "a\0", "a\nb", ".", None]),
    (fields.whole(1), [1, 2**62], [0, True, 1.0, None, 2**62 + 1, 10**30]),
    (fields.flag(), [True, False], [0, 1, None, "true"]),
    (fields.position(), [[0, 1.5, -2]], [[0, 1], [0, 1, "2"], [0, 1, math.nan], [0, 1, 10**400], [0, 1, 1e9], None, [0, 1, True]]),
    (fields.quaternion(), [UNIT, [0.5, 0.5, -0.5, 0.5]], [[0, 0, 0, 0], [1.01, 0, 0, 0], [1, 0, 0]]),
    (fields.size(), [[1, 2, 3.5]], [[1, 2, 0], [1, 2, -3], [1, 2, math.inf], [1, 2, 300]]),
    (
        fields.intrinsic(), [[], PINHOLE],
        [None, [[1, 2, 3]], [[1, 2, 3], [1, 2], [1, 2, 3]], [PINHOLE[1], PINHOLE[1], PINHOLE[2]], [*PINHOLE[:2], [0, 0, 2]]],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("field", "right", "wrong"), CASES, ids=[case[0].words for case in CASES])
def test_values_and_columns(field, right, wrong):
    assert [field.fits(value) for value in right] == [True] * len(right)
    assert [field.fits(value) for value in wrong] == [False] * len(wrong)
    assert field.pack(right) is not None
    for value in wrong:
        assert field.pack([*right, value]) is None
