"""JSON files of a root: whole ones, and tables of any size row by row.

A table of trainval is more than a gigabyte of text and many times that as Python objects, so its rows are decoded one
after another and never held together.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from dima_jax.errors import UserError

REMEDY = "unpack the nuScenes metadata again"
CHUNK = 1 << 18  # characters read at once
LONGEST_ROW = 1 << 26  # characters
BATCH = 2_500  # rows
SEPARATOR = re.compile(r"[ \t\n\r]*([,\]])[ \t\n\r]*")
BLANK = re.compile(r"[ \t\n\r]*\[?[ \t\n\r]*")
START = re.compile(r"[ \t\n\r]*\[[ \t\n\r]*(\][ \t\n\r]*)?")


def read_json(path: Path, remedy: str):
    """The content of a JSON file. Raises UserError when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {remedy}") from None


def batches(path: Path) -> Iterator[list[dict]]:
    """The rows of a table, BATCH at a time. Raises UserError where the file is no JSON list of objects."""
    number = 0
    batch: list[dict] = []
    try:
        for row in _rows(path):
            if type(row) is not dict:
                raise UserError(f"{path}: no list of rows; {REMEDY}")
            batch.append(row)
            number += 1
            if len(batch) == BATCH:
                yield batch
                batch = []
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else " ".join(str(error).split())
        raise UserError(f"{path}: not valid JSON after {number} rows ({reason}); {REMEDY}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {REMEDY}") from None
    if batch:
        yield batch


def _rows(path: Path) -> Iterator[object]:
    """The items of a JSON list, those of a part of the file at once where it can be cut between two. Raises ValueError for
    anything else.
    """
    decode, separator = json.JSONDecoder().raw_decode, SEPARATOR.match
    with path.open(encoding="utf-8") as file:
        text = part = file.read(CHUNK)
        while part and BLANK.fullmatch(text):
            text += (part := file.read(CHUNK))
        if not (start := START.match(text)):
            json.loads(text + file.read())
            raise UserError(f"{path}: no list of rows; {REMEDY}")
        at, is_last, problem, is_plain = start.end(), bool(start[1]), None, True
        while not is_last:
            if is_plain and (end := text.rfind("},", at) + 1) and (after := separator(text, end).end()) < len(text):
                try:
                    rows = json.loads(f"[{text[at:end]}]")  # a cut within a row is no JSON
                except ValueError:
                    is_plain = False  # row by row, to say where
                else:
                    yield from rows
                    text, at = text[after:] + file.read(CHUNK), 0
                    continue
            row = found = None
            try:
                row, end = decode(text, at)
                found = separator(text, end)
            except json.JSONDecodeError as error:
                problem = error
            if found is None or found.end() == len(text):  # perhaps the rest was not read yet
                if len(text) - at < LONGEST_ROW and (part := file.read(CHUNK)):
                    text, at = text[at:] + part, 0
                    continue
                if found is None:
                    raise problem or ValueError("Expecting ',' or ']'")
            yield row
            at, is_last = found.end(), found[1] == "]"
        if text[at:].strip() or file.read(CHUNK).strip():
            raise ValueError("Extra data")


def rows_at(path: Path, wanted: set[int]) -> dict[int, dict]:
    """{number: row} of a few rows of a table that `batches` reads."""
    found: dict[int, dict] = {}
    first = 0
    for batch in batches(path):
        found |= {number: batch[number - first] for number in wanted if first <= number < first + len(batch)}
        first += len(batch)
        if len(found) == len(wanted):
            break
    return found
