"""The progress of a command: a bar on a terminal; elsewhere, in a log say, a plain line now and then. On stderr."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

INTERVAL = 30.0  # seconds between plain lines
T = TypeVar("T")


class Progress:
    """A context manager around a loop that calls `advance`.

    unit: what is counted, in the singular. name: what is done. initial: how much was done before. first: what makes the
    first unit slow (compiling), shown until it is done. nested: a part of what another one shows; terminals only.
    """

    def __init__(
        self, total: int, unit: str, *, name: str = "", initial: int = 0, first: str = "", nested: bool = False
    ):
        self.total, self.done, self._unit, self._name, self._nested = total, initial, unit, name, nested
        self._note, self._initial, self._is_timed = first, initial, False
        self._start = self._shown = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            options = dict(dynamic_ncols=True, leave=not nested, position=1 if nested else None)
            self._bar = tqdm(total=total, initial=initial, unit=unit, desc=name or None, **options)
            self._bar.set_postfix_str(first)
        elif first:
            self._print()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind, *_) -> None:
        self.close(is_whole=kind is None)

    def close(self, is_whole: bool = True) -> None:
        """Ends the bar, or prints the last line. is_whole: False where something went wrong, which gets its own line."""
        if self._bar is not None:
            self._bar.close()
        elif is_whole:
            self._print()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """`count` more units are done. note: shown from now on."""
        self.done += count
        if count and not self._is_timed:  # the first units say nothing about the time of the others
            self._is_timed, self._start, self._initial, self._note = True, time.monotonic(), self.done, ""
        self._note = self._note if note is None else note
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._shown >= INTERVAL:
            self._print()

    def _print(self) -> None:
        self._shown = time.monotonic()
        passed, made = self._shown - self._start, self.done - self._initial
        parts = [f"{self.done} of {self.total} {self._unit}{'es' if self._unit.endswith('ch') else 's'}"]
        if made and passed > 0:
            left = passed / made * max(self.total - self.done, 0)
            parts.append(f"{made / passed:.3g} a second, {tqdm.format_interval(left)} left")
        parts += [self._note] if self._note else []
        if not self._nested:
            print(f"{self._name}: {', '.join(parts)}" if self._name else ", ".join(parts), file=sys.stderr, flush=True)


def each(items: Iterable[T], total: int, unit: str, **options) -> Iterator[T]:
    """The items, with their progress; arguments as for `Progress`."""
    with Progress(total, unit, **options) as progress:
        for item in items:
            yield item
            progress.advance()


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says that `what` is being done, and every INTERVAL seconds for how long: around one call that has no parts."""
    start, is_done = time.monotonic(), threading.Event()

    def say():
        print(what, file=sys.stderr, flush=True)
        while not is_done.wait(INTERVAL):
            print(f"{what}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()
