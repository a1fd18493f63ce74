"""Runs golden pieces and prints one line per golden file: its largest error and that check's tolerance."""

import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path

from dima_jax.errors import UserError
from tests.golden.check import Check

PENDING: tuple[str, ...] = ()  # pieces that are known and not built yet
HERE = Path(__file__).parent
DATA = HERE / "data"


def known_pieces() -> list[str]:
    """Names of the pieces that this project checks, and of those still to be built."""
    return sorted(({path.stem for path in (HERE / "pieces").glob("*.py")} - {"__init__"}) | set(PENDING))


def present_pieces(root: Path, split: str) -> list[str]:
    """Names of the folders `root`/<piece>/`split`."""
    return sorted(path.parent.name for path in root.glob(f"*/{split}") if path.is_dir())


def check_names(pieces: Iterable[str]) -> None:
    """UserError for a piece that the project does not know; it names the nearest one and lists all."""
    known = known_pieces()
    for piece in pieces:
        if piece not in known:
            (nearest,) = difflib.get_close_matches(piece, known, n=1, cutoff=0.0)
            raise UserError(f"unknown piece {piece!r}; did you mean {nearest}? The pieces are {', '.join(known)}")


def run_pieces(root: Path, split: str, pieces: Iterable[str], *, allow_pending: bool = False) -> bool:
    """Checks each of the pieces in turn; True if all of them passed."""
    passed = [_run_or_explain(root / piece / split, piece, allow_pending) for piece in pieces]
    print("all golden checks passed" if all(passed) else "golden checks FAILED")
    return all(passed)


def _run_or_explain(folder: Path, piece: str, allow_pending: bool) -> bool:
    if not folder.is_dir():
        print(f"MISS {piece:16s} no folder {folder}")
        return False
    if piece in PENDING:
        print(f"pend {piece:16s} not built yet")
        return allow_pending
    if piece not in known_pieces():
        print(f"MISS {piece:16s} this project does not know the piece")
        return False
    try:
        return run_piece(folder, piece)
    except Exception as error:  # whatever a piece meets, the others are still to be checked
        what = " ".join(str(error).split()) or "no message"
        print(f"FAILED {piece:14s} {type(error).__name__}: {what[:300]}", flush=True)
        return False


def run_piece(folder: Path, piece: str) -> bool:
    """Prints the lines of one piece; True if every check passed and there was at least one."""
    module = importlib.import_module(f"tests.golden.pieces.{piece}")
    passed, files = True, 0
    for name, checks in module.check(folder):
        files += 1
        worst = max(checks, key=badness, default=Check("no checks in this file", float("inf"), 0.0))
        good = bool(checks) and all(check.passed for check in checks)
        passed &= good
        print(
            f"{'ok  ' if good else 'MISS'} {piece:16s} {name:28s} error {worst.error:9.3e}  tolerance {worst.tolerance:7.1e}"
            f"  ({worst.name}; {len(checks)} checks)",
            flush=True,
        )
        for check in (check for check in checks if not check.passed):
            print(f"     {check.name}: error {check.error:.3e} > tolerance {check.tolerance:.1e}")
    if not files:
        print(f"MISS {piece:16s} no golden files in {folder}")
    return passed and files > 0


def badness(check: Check) -> float:
    """How near an error is to its tolerance."""
    return check.error / check.tolerance if check.tolerance else (check.error and float("inf"))
