"""Progress: plain lines where there is no terminal, a bar where there is one."""

import io
import re
import sys
import threading

import pytest

from dima_jax import progress


@pytest.fixture
def clock(monkeypatch):
    """The time, in seconds, that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_one_plain_line_per_interval(clock, capsys):
    with progress.Progress(100, "step", name="run", initial=10, first="compiling") as bar:
        assert capsys.readouterr().err == "run: 10 of 100 steps, compiling\n"
        clock[0] = 60.0  # the first step compiles: its time is left out
        bar.advance()
        capsys.readouterr()
        for _ in range(40):
            clock[0] += 1.0
            bar.advance(note="total=3")
    lines = capsys.readouterr().err
    assert (
        lines
        == "run: 41 of 100 steps, 1 a second, 00:59 left, total=3\nrun: 51 of 100 steps, 1 a second, 00:49 left, total=3\n"
    )


def test_a_failed_loop_adds_no_line_and_a_nested_one_none_at_all(clock, capsys):
    with pytest.raises(ValueError), progress.Progress(3, "frame") as bar:
        bar.advance()
        raise ValueError
    assert list(progress.each("abc", 3, "batch", nested=True)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
    assert list(progress.each("ab", 2, "batch")) == ["a", "b"]
    assert capsys.readouterr().err.startswith("2 of 2 batches")


def test_on_a_terminal_the_bar_says_what_it_waits_for(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.Progress(2, "step", first="compiling") as bar:
        assert re.search(r"\r.*0/2 .*compiling", terminal.getvalue())
        shown = len(terminal.getvalue())
        bar.advance()
        bar.advance(note="total=3")
    rest = terminal.getvalue()[shown:]
    assert "2/2" in rest and "total=3" in rest and "compiling" not in rest


def test_one_long_call_is_named_at_once_and_then_by_its_time(monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    said, err = threading.Event(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    with progress.waiting("compiling"):
        while err.getvalue().count("\n") < 3:
            said.wait(0.01)
    lines = err.getvalue().splitlines()
    assert lines[0] == "compiling" and all(re.fullmatch(r"compiling: \d+ s", line) for line in lines[1:])
    said.wait(0.05)
    assert err.getvalue().splitlines() == lines  # it is over
