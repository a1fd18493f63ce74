"""How every command starts: absl flags, a locked config, help, a log file, and errors that are one line.

A command's own file imports this module and nothing heavy, so that `--help` and a mistyped flag are answered at once;
what does the work is imported by its `main`.
"""

import datetime
import os
import shlex
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from dima_jax.errors import UserError

WIDTH = 110  # columns of the help
CONFIGS = Path(__file__).parent / "configs"
_config: list[flags.FlagHolder] = []
_log: list[TextIO] = []


def define_config(default: str | None = None) -> flags.FlagHolder:
    """--config=FILE.py and --config.a.b=value. Locked: an unknown key is an error that names the nearest one."""
    what = (
        "Config file, e.g. configs/base.py (which explains every key). Any key can be set on the command line: "
        "--config.data.batch_size=4"
    )
    holder = config_flags.DEFINE_config_file("config", default, what, lock_config=True)
    _config.append(holder)
    return holder


def run(main: Callable, words: str | None = None) -> None:
    """Parses flags, calls main(), and prints a UserError or a flag mistake as one line with exit status 2.

    words: what a command takes beside its flags, e.g. "QUESTION"; main then gets it, or None.
    """
    logging.set_verbosity(logging.WARNING)  # the libraries' progress notes would drown ours

    def start(arguments: list[str]) -> None:
        rest = arguments[1:]
        if len(rest) > (words is not None):
            hint = f"; one {words} is taken (quotes keep words together)" if words else ""
            raise UserError(f"unexpected {rest[-1]!r}{hint}; see --help")
        main(*([rest[0] if rest else None] if words else []))

    try:
        app.run(start, flags_parser=_parse)
    except UserError as error:
        _fail(error)


def log_to(folder: str | Path, name: str) -> None:
    """From here on everything printed, and the error that ends the command, also goes to `folder`/`name`.log.

    The file grows from run to run; each begins with a line that holds the time and the command. Progress bars are left
    out. UserError if the folder cannot be written.
    """
    path = Path(folder) / f"{name}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", buffering=1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a folder that can be written") from error
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    file.write(f"--- {now} {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}\n")
    _log.append(file)
    sys.stdout = _Tee(sys.stdout, file)


def prepare_jax(mesh: ConfigDict | None = None) -> None:
    """Sets what JAX reads when it is imported: call it before. What the environment says already stays.

    Compiled programs are kept for the next command. Where a mesh of several devices fits the CPU's cores, the CPU is
    that many devices of one thread each: a step of many small operations then uses every core, which threads within
    an operation cannot. Accelerators are not affected. mesh: that group of a config; None is a single device.
    """
    mesh_devices = mesh.data * mesh.fsdp * mesh.model if mesh else 1
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "dima_jax" / "programs"))
    flags_given = os.environ.get("XLA_FLAGS", "")
    if 1 < mesh_devices <= (os.cpu_count() or 1) and "host_platform_device_count" not in flags_given:
        ours = f"--xla_force_host_platform_device_count={mesh_devices} --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = f"{flags_given} {ours}".strip()


class _Tee:
    """Standard output that a log file gets as well."""

    def __init__(self, shown: TextIO, file: TextIO):
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
    try:
        rest = flags.FLAGS([_packaged(argument) for argument in arguments])
        for holder in _config:  # a file that is absent is reported only when it is first used
            if holder.value is not None:
                holder.value.keys()
        return rest
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:  # a key or value that does not fit
        text = str(error).replace("\\n", ". ").replace("\\", "").replace("'", "").strip('"')
        return _fail(" ".join(text.split()))
    except OSError:
        return _fail(f"{flags.FLAGS['config'].config_filename}: no such config file; see configs/")


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


def _fail(message) -> None:
    print(f"error: {message}", file=sys.stderr)
    for file in _log:
        file.write(f"error: {message}\n")
    sys.stdout.flush()
    sys.exit(2)
