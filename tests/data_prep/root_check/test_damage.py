"""A damaged root is refused in one line, or what is left out is listed, or its records are the same."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_prep import tables
from data_prep.key_frames import KeyFrames
from data_prep.nuscenes_schema import TABLES
from data_prep.root_check import checking
from data_prep.root_check.problems import NOTE, SKIP
from data_prep.scenes import Root
from dima_jax.data import features
from dima_jax.errors import UserError
from tests import tiny_root
from tests.data_prep.root_check import mutations

COUNT, SEED, LONGEST = 320, 0, 5.0


def contents(root: Path) -> dict[str, list[bytes]]:
    """{split: its records}, with agents in the order of their tokens, as the order of rows means nothing."""
    opened = Root(str(root), tiny_root.VERSION, tables.read(root, tiny_root.VERSION))
    found = {}
    for split, scenes in opened.splits().items():
        readers = [KeyFrames(opened, scene) for scene in scenes]
        found[split] = [
            features.encode(_sorted(reader.record(i, {}))) for reader in readers for i in range(len(reader))
        ]
    return found


def _sorted(frame: dict) -> dict:
    order = np.argsort(frame["agents"]["instances"])
    frame["agents"] = {
        name: values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]
        for name, values in frame["agents"].items()
    }
    return frame


@pytest.fixture(scope="module")
def records(whole):
    mutations.TABLE_ROWS.update({name: tiny_root.tables(whole, name) for name in mutations.TABLES})
    return contents(whole)


def test_damage_is_refused_listed_or_harmless(damaged, records):
    rng, outcomes = np.random.default_rng(SEED), Counter()
    problems = []
    for number in range(COUNT):
        path, what, text = mutations.one(rng, damaged)
        before = path.read_bytes()
        path.write_text(text, errors="surrogatepass")
        start = time.process_time()
        try:
            outcome = judged(damaged, path, records)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        finally:
            path.write_bytes(before)
        if time.process_time() - start > LONGEST:
            outcome = "takes too long"
        outcomes[outcome if outcome in ("refused", "listed", "same") else "bad"] += 1
        if outcome not in ("refused", "listed", "same"):
            problems.append(f"{number}: {path.name}: {what}: {outcome}")
    print(dict(outcomes))
    assert not problems, "\n".join(problems)
    assert min(outcomes.values()) >= 5 and len(outcomes) == 3, outcomes


def judged(root: Path, path: Path, records: dict) -> str:
    report = checking.check(str(root), tiny_root.VERSION)
    try:
        report.refuse()
    except UserError as error:
        lines = str(error).splitlines()
        files = [path.name] if path.stem not in TABLES else [f"{name}.json" for name in TABLES]
        named = any(name in str(error) for name in files)
        return "refused" if len(lines) == 1 and named else f"the file is not named: {error}"
    if report.of_kind(SKIP) or any("geometries" in note.rule for note in report.of_kind(NOTE)):
        return "listed"
    try:
        return "same" if contents(root) == records else "other records"
    except UserError as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"several lines: {error}"
