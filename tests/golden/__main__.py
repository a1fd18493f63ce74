"""Checks this project against outputs of the PyTorch references.

    python -m tests.golden                                     the copies in tests/golden/data
    python -m tests.golden --root DIR --split NAME [--piece P]  any folder laid out <piece>/<split>/<files>

Prints one line per golden file with its largest error and that check's tolerance. Exit 1 on a miss, on a piece it does
not know, on a piece without files, and on a pending piece unless --allow-pending.
"""

import argparse
import importlib
import sys
from pathlib import Path

from tests.golden.check import Check

PENDING: tuple[str, ...] = ()
HERE = Path(__file__).parent


def known_pieces() -> set[str]:
    return {path.stem for path in (HERE / "pieces").glob("*.py")} - {"__init__"}


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


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.golden", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=HERE / "data", help="folder of the pieces (default: the project's copies)"
    )
    parser.add_argument("--split", default="dev", help="sub-folder of each piece (default: dev)")
    parser.add_argument("--piece", help="only this piece")
    parser.add_argument(
        "--allow-pending", action="store_true", help="pieces that are not built yet do not fail the run"
    )
    options = parser.parse_args()

    present = sorted(path.parent.name for path in options.root.glob(f"*/{options.split}") if path.is_dir())
    pieces = [options.piece] if options.piece else present
    if not pieces:
        print(f"no folder {options.root}/<piece>/{options.split}; give --root and --split")
        return 1
    passed = True
    for piece in pieces:
        folder = options.root / piece / options.split
        if not folder.is_dir():
            print(f"MISS {piece:16s} no folder {folder}")
            passed = False
        elif piece in known_pieces():
            passed &= run_piece(folder, piece)
        elif piece in PENDING:
            print(f"pend {piece:16s} not built yet")
            passed &= options.allow_pending
        else:
            print(f"MISS {piece:16s} this project does not know the piece")
            passed = False
    print("all golden checks passed" if passed else "golden checks FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
