"""How every command starts: absl flags, a locked config, and errors that are one line and a non-zero exit."""

import sys
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import config_flags

from dima_jax.errors import UserError


def define_config(default: str | None = None) -> flags.FlagHolder:
    """--config=FILE.py and --config.a.b=value. Locked: an unknown key is an error that names the nearest one."""
    return config_flags.DEFINE_config_file("config", default, "Config file, e.g. configs/base.py.", lock_config=True)


def run(main: Callable[[], None]) -> None:
    """Parses flags, calls main(), and prints a UserError or a flag mistake as one line with exit status 2."""
    logging.set_verbosity(logging.WARNING)  # the libraries' progress notes would drown ours
    try:
        app.run(lambda _: main(), flags_parser=_parse)
    except UserError as error:
        _fail(error)


def _parse(arguments: list[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(arguments)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a config key or value that does not fit
        return _fail(str(error).splitlines()[0].strip("'\" "))
    except (FileNotFoundError, OSError) as error:
        return _fail(f"{error.filename or error}: no such config file; see configs/")


def _fail(message) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
