"""Checks this project against outputs of the PyTorch references.

    python -m tests.golden                                          the copies in tests/golden/data
    python -m tests.golden --piece=llama --piece=head_loss          these pieces alone
    python -m tests.golden --root=DIR --split=NAME                  any folder laid out <piece>/<split>/<files>

Prints one line per golden file with its largest error and that check's tolerance. Exit status 1 on a miss, on a piece
that fails with an error (the others still run), on a piece without files, and on a pending piece unless
--allow-pending; 2 on a --piece that does not exist.
"""

import sys
from pathlib import Path

from absl import flags

from dima_jax import cli
from tests.golden import runner


def main() -> None:
    root, split = Path(ROOT.value or runner.DATA), SPLIT.value
    runner.check_names(PIECES.value or ())
    pieces = list(dict.fromkeys(PIECES.value or runner.present_pieces(root, split)))
    if not pieces:
        print(f"no folder {root}/<piece>/{split}; give --root and --split")
        sys.exit(1)
    sys.exit(0 if runner.run_pieces(root, split, pieces, allow_pending=ALLOW_PENDING.value) else 1)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    ROOT = flags.DEFINE_string("root", None, "Folder of the pieces (default: tests/golden/data, the copies).")
    SPLIT = flags.DEFINE_string("split", "dev", "Sub-folder of each piece.")
    PIECES = flags.DEFINE_multi_string("piece", None, "Check this piece alone (default: all).")
    ALLOW_PENDING = flags.DEFINE_bool("allow-pending", False, "Pieces that are not built yet do not fail the run.")
    cli.run(main)
