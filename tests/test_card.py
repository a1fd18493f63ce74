"""One call measures a card: what fails or takes too long costs the other parts nothing, and what matters comes first."""

import pytest
from absl import flags

from benchmarks import card


@pytest.fixture(autouse=True)
def parsed():
    flags.FLAGS.mark_as_parsed()


def test_every_part_is_a_command_and_the_most_wanted_is_first():
    parts = card.parts()
    assert list(parts)[:2] == ["forward small float32", "forward small bfloat16"] and len(parts) == 13
    for arguments in parts.values():
        assert arguments[0].startswith("benchmarks.") and any(one.startswith("--config=") for one in arguments)


@pytest.mark.parametrize(
    ("arguments", "seconds", "why"),
    [
        (["benchmarks.absent"], 60, "No module named benchmarks.absent"),
        (["http.server", "--bind=127.0.0.1", "0"], 1, "stopped after 1 s"),
        (["benchmarks.student"], 0, "no time was left"),
    ],
)
def test_a_part_that_gives_nothing_says_why(arguments, seconds, why):
    assert why in card.measured(arguments, seconds)["failed"]


def test_what_a_part_prints_is_kept(tmp_path, monkeypatch):
    (tmp_path / "prints.py").write_text('print("a line of a library")\nprint(\'{"median_s": 1.5, "machine": {}}\')')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = card.measured(["prints"], 60)
    assert found.pop("seconds") > 0 and found == {"median_s": 1.5}
