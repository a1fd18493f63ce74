"""How every command starts: absl flags, a locked config, and errors that are one line and a non-zero exit."""

import sys
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import config_flags

from dima_jax.errors import UserError

_configs: list[flags.FlagHolder] = []


def define_config(default: str | None = None) -> flags.FlagHolder:
    """--config=FILE.py and --config.a.b=value. Locked: an unknown key is an error that names the nearest one."""
    holder = config_flags.DEFINE_config_file("config", default, "Config file, e.g. configs/base.py.", lock_config=True)
    _configs.append(holder)
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
            raise UserError(f"unexpected {rest[-1]!r}{hint}")
        main(*([rest[0] if rest else None] if words else []))

    try:
        app.run(start, flags_parser=_parse)
    except UserError as error:
        _fail(error)


def _parse(arguments: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(arguments)
        for holder in _configs:  # a file that is absent is reported only when it is first used
            if holder.value is not None:
                holder.value.keys()
        return rest
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:  # a key or value that does not fit
        text = str(error).replace("\\n", ". ").replace("\\", "").replace("'", "").strip('"')
        return _fail(" ".join(text.split()))
    except OSError:
        return _fail(f"{flags.FLAGS['config'].config_filename}: no such config file; see configs/")


def _fail(message) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
