"""Ctrl-C and SIGTERM: one line, 130 and 143, no process left; at once when asked twice; a loop is asked to stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dima_jax import interrupts

ROOT = Path(__file__).parents[1]
COMMAND = """
import multiprocessing, sys, threading, time
from dima_jax import cli, interrupts

def wait():
    interrupts.end_with_parent()
    time.sleep(600)

def main():
    threading.Thread(target=time.sleep, args=(600,), daemon={daemon}).start()  # else it would keep the process
    with interrupts.blocked():
        worker = multiprocessing.get_context("spawn").Process(target=wait)
        worker.start()
    try:
        print(worker.pid, flush=True)
        {body}
    finally:
        print("cleaned up", flush=True)

if __name__ == "__main__":
    cli.run(main)
"""
STUBBORN = """
        import ctypes
        lock, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)  # a mutex: waiting for it, no Python runs
        libc.pthread_mutex_lock(lock)
        threading.Timer({seconds}, libc.pthread_mutex_unlock, (lock,)).start()
        libc.pthread_mutex_lock(lock)"""


IN_A_CALLBACK = """
        import gc
        gc.callbacks.append(lambda *_: time.sleep(1))  # as JAX has one: what is raised there is not passed on
        while True:
            gc.collect()
            time.sleep(1)"""
IN_AN_EXTENSION = """
        import os
        from importlib.machinery import ExtensionFileLoader
        class Loader(ExtensionFileLoader):
            def exec_module(self, module):
                time.sleep(2)
        try:
            Loader("x", "x.so").exec_module(None)
        except BaseException:
            os.abort()  # as C++ does
        time.sleep(600)"""
AT_EXIT = """
        import atexit
        atexit.register(time.sleep, 600)
        return"""
REPLACED = """
        try:
            time.sleep(600)
        except BaseException:
            {what}"""


@pytest.fixture
def start(tmp_path):
    """Starts the command in a session of its own, as a terminal does; returns it and its worker's id."""

    def started(body="time.sleep(600)", daemon=False):
        (tmp_path / "command.py").write_text(COMMAND.format(body=body, daemon=daemon))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        options = dict(
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
        )
        process = subprocess.Popen([sys.executable, str(tmp_path / "command.py")], **options)
        worker = int(process.stdout.readline())
        time.sleep(0.5)  # until the body runs
        return process, worker

    return started


def is_gone(pid, seconds=10):
    for _ in range(int(seconds / 0.05)):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("number", "status", "name"), [(2, 130, "Ctrl-C"), (15, 143, "SIGTERM")])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_one_line_the_status_and_no_process_left(start, number, status, name, send):
    process, worker = start()
    send(process.pid, number)
    out, errors = process.communicate(timeout=60)
    assert (out, errors, process.returncode) == ("cleaned up\n", f"stopped by {name}\n", status)
    assert is_gone(worker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("body", [IN_A_CALLBACK, IN_AN_EXTENSION])
def test_a_signal_waits_where_it_would_be_lost(start, number, body):
    process, _ = start(body)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    name = interrupts.SIGNALS[number]
    assert (out, errors, process.returncode) == ("cleaned up\n", f"stopped by {name}\n", 128 + number)


@pytest.mark.parametrize("what", ["raise RuntimeError('of a library')", "sys.exit(0)", "pass"])
def test_what_a_library_makes_of_a_signal_does_not_matter(start, what):
    process, _ = start(REPLACED.format(what=what))
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    assert (out, errors, process.returncode) == ("cleaned up\n", "stopped by SIGTERM\n", 143)


def test_after_the_work_a_signal_ends_at_once(start):
    process, _ = start(AT_EXIT, daemon=True)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (errors, process.returncode) == ("stopped by SIGTERM\n", 143)


def test_twice_at_once_is_once_and_later_ends_at_once(start):
    process, worker = start(STUBBORN.format(seconds=600))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    time.sleep(interrupts.AGAIN_SECONDS + 0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (out, errors, process.returncode) == ("", "ended by a second Ctrl-C\n", 130)
    assert is_gone(worker)


def test_what_delays_the_end_is_said(start):
    process, _ = start(STUBBORN.format(seconds=4))
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    notice = "stopping when what runs now is done; a second Ctrl-C or SIGTERM ends at once\n"
    assert (errors, process.returncode) == (f"{notice}stopped by Ctrl-C\n", 130)


def test_a_worker_ends_with_a_killed_parent(start):
    process, worker = start()
    time.sleep(2.0)  # until the worker has started
    process.kill()
    process.wait()
    assert is_gone(worker)
    process.communicate()


def test_a_loop_is_asked_and_what_was_before_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.StopOnSignal() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert (stop.requested, stop.status) == (True, 130)
    assert signal.getsignal(signal.SIGINT) == before
    with interrupts.StopOnSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop.status == 143
