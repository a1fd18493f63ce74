"""How Ctrl-C (SIGINT) and SIGTERM end a command: with its clean-up, or at once when asked again; no process stays.

`cli` installs the handlers and turns `Interrupted` into one line. Python handles a signal only between two of its own
instructions, which a compilation can delay by minutes; so a thread of its own sees every signal.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.machinery import ExtensionFileLoader
from multiprocessing import resource_tracker
from types import FrameType

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
AGAIN_SECONDS = 0.5  # a second signal counts from here on: `timeout` and others send one twice at once
AGAIN_AFTER = 0.02  # seconds, until what could not be raised is raised again
LOADING = ("create_module", "exec_module")  # of a loader
NOTICE_SECONDS = 2.0  # after which a command that is still there says why


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread. status: the exit status, 128 + the signal's number."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {SIGNALS[signal.Signals(number)]}")
        self.status = 128 + number


class _State:
    """of the process. stops: the innermost `StopOnSignal` that is open; raised: what the first signal has raised; is_done:
    nothing is left that an exception could stop.
    """

    stops: "StopOnSignal | None" = None
    raised: Interrupted | None = None
    is_done = False


def install() -> None:
    """From here on the first signal raises `Interrupted` in the main thread and a second one ends the process.

    Where nobody can be told of an exception, e.g. in a callback of the garbage collector, it is raised again afterwards;
    while an extension module is loaded, it waits: C++ that does not expect one ends the process with a traceback.
    """
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.signal(signal.SIGALRM, _raise)
    sys.unraisablehook = _after_callbacks(sys.unraisablehook)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="signals").start()


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.stops is not None:
        _State.stops.request(number)
    elif _State.is_done:
        _say(str(Interrupted(number)))
        end(128 + number)
    elif _State.raised is None:
        _State.raised = Interrupted(number)
        _raise(signal.SIGALRM, frame)


def _raise(_, frame: FrameType | None) -> None:
    if _is_loading_extension(frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER)
    elif _State.raised is not None:
        raise _State.raised.with_traceback(None)


def _is_loading_extension(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name in LOADING and isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


def _after_callbacks(shown: Callable) -> Callable:
    def hook(unraisable) -> None:
        if isinstance(unraisable.exc_value, Interrupted):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER)
        else:
            shown(unraisable)

    return hook


def finish() -> None:
    """From here on a signal ends the process at once: Python's and the libraries' own ends cannot be interrupted."""
    _State.is_done = True


def raised() -> Interrupted | None:
    """What a signal has raised, even if a library has since made another error of it or gone on."""
    return _State.raised


def _watch(reading: int) -> None:
    """Waits for signals in a thread: says after a while that the first is heeded, and obeys the second at once."""
    first = None
    while True:
        if first is not None and not select.select([reading], [], [], NOTICE_SECONDS)[0]:
            _say("stopping when what runs now is done; a second Ctrl-C or SIGTERM ends at once")
            select.select([reading], [], [])
        number = os.read(reading, 1)[0]
        if number not in SIGNALS:
            continue
        if first is not None and time.monotonic() - first > AGAIN_SECONDS:
            _say(f"ended by a second {SIGNALS[signal.Signals(number)]}")
            end(128 + number)
        first = first or time.monotonic()


def _say(text: str) -> None:
    os.write(2, f"\n{text}\n".encode() if sys.stderr.isatty() else f"{text}\n".encode())


def end(status: int) -> None:
    """Ends this process and the processes it started with `multiprocessing`, whatever their threads do."""
    end_children()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def end_children() -> None:
    """Kills the processes that this one started with `multiprocessing`."""
    for child in multiprocessing.active_children():
        child.kill()


class StopOnSignal:
    """While it is open, a signal is only noted, for a loop that asks between two steps.

    requested: whether one came; status: what to exit with then.
    """

    def __init__(self):
        self.requested, self.status = False, 0

    def request(self, number: int, _=None) -> None:
        """Notes a signal."""
        self.requested, self.status = True, 128 + number

    def __enter__(self) -> "StopOnSignal":
        self._outer, _State.stops = _State.stops, self
        self._handlers = {number: signal.signal(number, _handle) for number in SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        _State.stops = self._outer
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not set from Python


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Processes started inside do not hear the signals, which a terminal sends to all; their parent ends them."""
    resource_tracker.ensure_running()  # when it starts, which the first process makes it do, it unblocks both signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Called in a process that `multiprocessing` started inside `blocked`: it ends when the process does that asked for it,
    even by a kill -9.
    """
    sentinel = multiprocessing.parent_process().sentinel

    def wait() -> None:
        multiprocessing.connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="end with parent").start()
