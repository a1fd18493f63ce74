"""How every command starts and ends: flags, a locked and checked config, help, a log file, errors of one line, Ctrl-C.

A command's own file imports this module and nothing heavy, so that `--help` and a mistyped flag are answered at once;
what does the work is imported by its `main`.
"""

import contextlib
import datetime
import errno
import os
import re
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from dima_jax import interrupts
from dima_jax.errors import UserError

WIDTH = 110  # columns of the help
CONFIGS = Path(__file__).parent / "configs"
MOST_DEVICES = 4  # that a CPU becomes where its cores share frames
PROGRAMS_BYTES = 4 * 2**30  # of compiled programs that are kept; the least recently used go first
DISK_REMEDIES = {
    errno.ENOSPC: "free the disk, or give another folder",
    errno.EDQUOT: "free your quota, or give another folder",
    errno.EACCES: "give a folder that can be read and written",
    errno.EROFS: "give a folder that can be written",
}
REMOTE = re.compile(r"(?:--?[\w.]+=)?(?:\S+,)?[a-z][a-z0-9+.-]*://\S*")  # an argument
_config: list[flags.FlagHolder] = []
_checks: list[dict[str, tuple[str, ...]]] = []
_log: list["_Log"] = []


def define_config(
    default: str | None = None, parts: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> flags.FlagHolder:
    """--config=FILE.py and --config.a.b=value. Locked: an unknown key is an error that names the nearest one.

    What the command reads is checked (`config_check.check`): parts, () for all, without some keys.
    """
    what = (
        "Config file, e.g. configs/base.py (which explains every key). Any key can be set on the command line: "
        "--config.data.batch_size=4"
    )
    holder = config_flags.DEFINE_config_file("config", default, what, lock_config=True)
    _config.append(holder)
    _checks.append(dict(parts=parts, without=without))
    return holder


def run(main: Callable, words: str | None = None, takes_options: bool = False) -> None:
    """Parses flags and calls main(). One line and exit status 2 for a UserError, a mistake in the flags and a disk that
    refuses; one line and 128 + the signal's number after Ctrl-C or SIGTERM.

    words: what a command takes beside its flags, e.g. "QUESTION"; main then gets it, or None. takes_options: main gets what
    follows `--`, a list, as a library that it starts has options of its own.
    """
    interrupts.install()
    keep_programs()
    logging.set_verbosity(logging.ERROR)

    def start(arguments: list[str]) -> None:
        logging.set_verbosity(logging.WARNING)  # the libraries' progress notes would drown ours
        rest = arguments[1:]
        if takes_options:
            main(rest)
            return
        if len(rest) > (words is not None):
            hint = f"; one {words} is taken (quotes keep words together)" if words else ""
            raise UserError(f"unexpected {rest[-1]!r}{hint}; see --help")
        main(*([rest[0] if rest else None] if words else []))

    try:
        app.run(start, flags_parser=_parse)
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> None:
    """Ends the command after what `run` says. A bug is raised again, with its traceback."""
    if (stopped := interrupts.raised()) is not None:  # whatever a library has made of it
        _say(str(stopped))
        interrupts.end(stopped.status)
    interrupts.finish()
    try:
        raise error
    except UserError:
        _fail(error)
    except BrokenPipeError:  # of `command | head`
        interrupts.end(128 + signal.SIGPIPE)
    except OSError as error:
        _fail(": ".join(map(str, filter(None, (error.filename, error.strerror or str(error))))) + _remedy(error))


def log_to(folder: str | Path, name: str, *, is_needed: bool = True) -> None:
    """From here on everything printed, and the error that ends the command, also goes to `folder`/`name`.log.

    The file grows from run to run; each begins with a line that holds the time and the command. Progress bars are left
    out. UserError if the folder cannot be written; not is_needed: a line says so, and there is no log.
    """
    try:
        file = _Log(Path(folder) / f"{name}.log")
    except UserError as error:
        if is_needed:
            raise
        print(f"no log: {error}")
        return
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    file.write(f"--- {now} {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}\n")
    _log.append(file)
    sys.stdout = _Tee(sys.stdout, file)


def keep_programs() -> None:
    """Compiled programs are kept for the next command, PROGRAMS_BYTES at most: in ~/.cache/dima_jax/compiled, or where
    JAX_COMPILATION_CACHE_DIR says (the environment then sets the size as well). Not where that cannot be written.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "dima_jax" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for program in folder.glob("*-cache"):  # JAX writes its date last, and cannot go on without
            if not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
                program.unlink()
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(PROGRAMS_BYTES))


def prepare_jax(mesh: ConfigDict) -> None:
    """Sets what JAX reads when it is imported: call it before. What the environment says already stays.

    Where a mesh of several devices fits the CPU's cores, the CPU is that many devices of one thread each: a step of many
    small operations then uses every core, which threads within an operation cannot. Accelerators are not affected.
    mesh: that group of a config.
    """
    mesh_devices = mesh.data * mesh.fsdp * mesh.model
    if 1 < mesh_devices <= (os.cpu_count() or 1):
        _split_cpu(mesh_devices)


def use_cores() -> None:
    """Lets a command that shares its work among devices use every core of a small CPU; else as `prepare_jax`.

    A larger one, of more than MOST_DEVICES cores, stays one device: each would hold a model of its own.
    """
    if 1 < (cores := os.cpu_count() or 1) <= MOST_DEVICES:
        _split_cpu(cores)


def _split_cpu(devices: int) -> None:
    flags_given = os.environ.get("XLA_FLAGS", "")
    if "host_platform_device_count" not in flags_given:
        ours = f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = f"{flags_given} {ours}".strip()


class _Log:
    """A log file, open at its end. Nothing is buffered: on a full disk nothing is left to be written later.

    UserError, from `write` as well, if it cannot be written.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; give a folder that can be written") from error

    def write(self, text: str) -> None:
        data = text.encode(errors="replace")
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror}; {DISK_REMEDIES[errno.ENOSPC]}") from error


class _Tee:
    """Standard output that a log file gets as well."""

    def __init__(self, shown: TextIO, file: _Log):
        self._shown, self._file = shown, file

    def write(self, text: str) -> int:
        self._file.write(text)
        return self._shown.write(text)

    def __getattr__(self, name: str):
        return getattr(self._shown, name)


def _parse(arguments: list[str]) -> list[str]:
    if any(argument.lstrip("-") in ("help", "h", "helpfull", "helpshort") for argument in arguments[1:]):
        print(help_text())
        sys.exit(0)
    for argument in arguments[1:]:
        if argument == "--":  # what follows is a library's own
            break
        if REMOTE.fullmatch(argument):
            raise UserError(f"{argument}: is not on this machine; mount it (gcsfuse, s3fs, rclone) and give its folder")
    try:
        rest = flags.FLAGS([_packaged(argument) for argument in arguments])
        for holder in _config:  # a file that is absent is reported only when it is first used
            if holder.value is not None:
                holder.value.keys()
    except Exception as error:  # of a flag, of a key or value that does not fit, or of the config file's own code
        raise UserError(_mistake(error, arguments)) from error
    for holder, options in zip(_config, _checks, strict=True):
        if holder.value is not None:
            from dima_jax import config_check

            config_check.check(holder.value, **options)
        elif file := _config_file(arguments):
            raise UserError(f"{file}: get_config() returns None")
    return rest


def _config_file(arguments: list[str]) -> str:
    """The file that --config names last, "" for none."""
    files = [value for flag, _, value in (one.partition("=") for one in arguments) if flag.lstrip("-") == "config"]
    return files[-1] if files else ""


def _mistake(error: Exception, arguments: list[str]) -> str:
    """What is wrong with the command line or the config file, in one line."""
    from dima_jax.config_kinds import KINDS

    file = _config_file(arguments)
    if isinstance(error, OSError):
        return f"--config={file}: no such config file; see configs/"
    if "Traceback" in str(error):  # ml_collections passes the file's error on with its traceback
        return f"{file}: {str(error).strip().splitlines()[-1]}"
    if found := re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL):
        key, value = found.groups()
        allowed = KINDS[key].allowed if key in KINDS else f"a group of keys: give --config.{key}.KEY=VALUE"
        return f"config.{key}={value}: must be {allowed}"
    if _config and not file and str(error).startswith("Unknown command line flag 'config."):
        return "--config is missing: give the file whose keys --config.KEY=VALUE changes, e.g. --config=configs/demo.py"
    text = " ".join(str(error).replace("\\n", ". ").replace("\\", "").replace("'", "").strip('"').split())
    if isinstance(error, AttributeError | KeyError) and "get_config" not in text:
        return f"unknown config key {text}"
    return text if isinstance(error, flags.Error) else f"{file}: {type(error).__name__}: {text}"


def _packaged(argument: str) -> str:
    """--config=configs/NAME.py of an installed package, where the current folder has no such file."""
    flag, _, value = argument.partition("=")
    inside = CONFIGS / Path(value).name
    is_ours = flag in ("--config", "-config") and Path(value).parent == Path("configs")
    return f"{flag}={inside}" if is_ours and not Path(value).exists() and inside.exists() else argument


def help_text() -> str:
    """The command's docstring, then its flags with their defaults."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    command = f"python -m {spec.name.removesuffix('.__main__')}" if spec else sys.argv[0]
    own = flags.FLAGS.flags_by_module_dict().get(sys.argv[0], [])
    rows = [flags.FLAGS[holder.name] for holder in _config] + [flag for flag in own if flag.name != "config"]
    lines = [f"{command} [flags]", "", (main.__doc__ or "").strip(), "", "flags:"]
    for flag in rows:
        default = "" if flag.default is None else f" (default: {flag.default_as_str.strip(chr(39))})"
        lines.append(f"  --{flag.name}")
        lines += textwrap.wrap(flag.help + default, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join([*lines, "  --help", "      This text."])


def _remedy(error: OSError) -> str:
    return f"; {DISK_REMEDIES[error.errno]}" if error.errno in DISK_REMEDIES else ""


def _say(line: str) -> None:
    """Prints a message as one line, as an error, and into the log if it can be written."""
    line = " ".join(line.splitlines())  # of a library, or with a file's name, it may have several
    print(line, file=sys.stderr)
    for file in _log:
        with contextlib.suppress(UserError):
            file.write(f"{line}\n")


def _fail(message) -> None:
    _say(f"error: {message}")
    sys.stdout.flush()
    sys.exit(2)
