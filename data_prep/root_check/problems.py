"""What a part of the check finds: rows of a table or whole files, of one of three kinds.

* ERROR: the root contradicts itself or lacks something; nothing is built.
* SKIP: something is left out of the records, or cannot be right and is taken as it is; `--strict` makes it an error.
* NOTE: worth knowing; without effect on the records, or left out of them by VAD as well.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from data_prep.root_check.reading import REMEDY

ERROR, SKIP, NOTE = KINDS = ("error", "skip", "note")


class Rows(NamedTuple):
    """Rows of a table that break one rule.

    numbers: of the rows; detail: what is wrong with a row, from the row and its number.
    """

    kind: str
    table: str
    rule: str
    numbers: np.ndarray
    detail: Callable[[dict, int], str]
    remedy: str = REMEDY


class Files(NamedTuple):
    """Files or names that break one rule; each line names a file and what is wrong with it."""

    kind: str
    file: str
    rule: str
    lines: list[str]
    remedy: str


Problem = Rows | Files
