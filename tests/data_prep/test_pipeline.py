"""Whatever goes wrong in a worker becomes one line."""

import pytest

from data_prep import pipeline, shards
from dima_jax.errors import UserError

SHARD = shards.Shard("out/shard", ("a",), 1)


def failing(error: Exception):
    def write(*_):
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("ours"), "ours"),
        (OSError(28, "No space left on device", "out/shard.1.tmp"), "out/shard.1.tmp: No space left on device"),
        (KeyError("token\nlost"), r"out/shard: KeyError: 'token\nlost' (test_pipeline.py:"),
        (RuntimeError("two\nlines"), "out/shard: RuntimeError: two lines (test_pipeline.py:"),
    ],
)
@pytest.mark.parametrize("where", ["opened", "write"])
def test_an_error_of_a_worker_is_one_line(monkeypatch, error, message, where):
    monkeypatch.setattr(pipeline, "_outcome", pipeline.Outcome())
    monkeypatch.setattr(shards, "opened", lambda *_: None)
    monkeypatch.setattr(shards, where, failing(error))
    write = pipeline.WriteShard("root", "version", "", "mark")
    write.process(SHARD)
    write.process(SHARD)  # does nothing after an error
    (found,) = pipeline._outcome.errors
    assert isinstance(found, UserError) and str(found).startswith(message) and len(str(found).splitlines()) == 1
