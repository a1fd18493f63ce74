"""A tiny nuScenes root and its records, made once for all tests of the conversion."""

import shutil

import pytest

from tests import tiny_root


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return tiny_root.make(tmp_path_factory.mktemp("dataset") / "root")


@pytest.fixture(scope="session")
def built(dataset, tmp_path_factory):
    return tiny_root.write_records(dataset, tmp_path_factory.mktemp("built"))


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "root")
