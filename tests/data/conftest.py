"""Records of the tiny data set, written once for all tests of the reader."""

import pytest

from tests import tiny_root


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    root = tiny_root.make(folder / "root")
    questions = tiny_root.drivelm(folder / "drivelm.json")
    (folder / "records").mkdir()
    return tiny_root.write_records(root, folder / "records", str(questions))


@pytest.fixture
def config(tiny_records):
    return tiny_root.small_config(tiny_records)
