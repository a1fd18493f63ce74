"""The folder that a conversion writes: a new one, which appears when it is whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dima_jax import run_folder
from dima_jax.convert import llm_folder
from dima_jax.errors import UserError


@contextlib.contextmanager
def new(out: str | Path) -> Iterator[Path]:
    """A folder beside `out` to write into, renamed to `out` at the end. UserError if `out` holds anything."""
    out = Path(out)
    check_free(out)
    unfinished = out.resolve().with_name(f"{out.resolve().name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a conversion that was killed
        unfinished.mkdir(parents=True)
        yield unfinished
        os.replace(unfinished, out)
    except OSError as error:
        raise UserError(
            f"{error.filename or out}: {error.strerror or error}; give another --out, or make room"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_free(out: str | Path) -> None:
    """UserError, naming what is there, if `out` is a file or a folder that holds anything."""
    out = Path(out)
    if out.exists() and (found := _content(out)):
        raise UserError(f"{out} holds {found}; give another --out, or delete it first")


def _content(out: Path) -> str:
    """What is there, in words; "" for an empty folder."""
    if not out.is_dir():
        return "a file"
    if found := run_folder.steps(out):
        return f"a run (step {found[0].name})"
    if (out / "_METADATA").exists():
        return "converted weights"
    if (out / llm_folder.INDEX).exists():
        return "a converted LLM"
    names = sorted(path.name for path in out.iterdir())
    return f"{len(names)} files ({names[0]}, ...)" if len(names) > 1 else "".join(names)
