"""Token lists are read as masks of a truth's frames; a file that is none is refused in one line."""

import json

import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import token_lists
from tests.scoring.fake import fake_truth

HEAD = {"format": token_lists.FORMAT, "version": token_lists.VERSION}


@pytest.fixture
def truth():
    return fake_truth(scenes=2, frames=3, agents=1)


def write(tmp_path, content):
    path = tmp_path / "tokens.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_masks_of_lists(truth, tmp_path):
    tokens = truth.tokens.tolist()
    lists = {"some": [tokens[4], tokens[1], "of another split"], "none": []}
    found = token_lists.masks(write(tmp_path, HEAD | {"tokens": lists, "counts": {}}), truth)
    assert list(found) == ["some", "none"]
    assert found["some"].tolist() == [False, True, False, False, True, False] and not found["none"].any()
    assert token_lists.masks(write(tmp_path, HEAD | {"tokens": {}}), truth) == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "no JSON"),
        ([], "no token lists"),
        ({"format": "dima_jax.scores", "version": 1}, "no token lists"),
        (HEAD | {"version": 2, "tokens": {}}, "is of version 2, not 1"),
        (HEAD, '"tokens" is no'),
        (HEAD | {"tokens": {"a": "bc"}}, '"tokens" is no'),
        (HEAD | {"tokens": {"a": [1]}}, '"tokens" is no'),
        (HEAD | {"tokens": {"a": ["of another split"]}}, "none of its tokens is in the truth"),
    ],
)
def test_what_is_refused(truth, tmp_path, content, why):
    with pytest.raises(UserError, match=why) as raised:
        token_lists.masks(write(tmp_path, content), truth)
    assert "tokens.json" in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_an_absent_file_is_named(truth, tmp_path):
    with pytest.raises(UserError, match=r"absent\.json: No such file or directory"):
        token_lists.masks(tmp_path / "absent.json", truth)
