"""requirements.txt, the extras of pyproject.toml and the imports agree; `pip check` says what docs/faq.md says."""

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import dima_jax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PACKAGES = ("dima_jax", "data_prep")
# The modules that a command reaches, and the extra that it is installed with.
COMMANDS = [
    ("dima_jax.train", "train"),
    ("dima_jax.evaluate", "train"),
    ("dima_jax.ask", "train"),
    ("dima_jax.plan_run.__main__", "train"),
    ("dima_jax.convert.vad_command", "train"),
    ("dima_jax.convert.__main__", "llm"),
    ("dima_jax.export", "export"),
    ("dima_jax.score", "score"),
    ("data_prep.build", "data"),
    ("data_prep.validate", "data"),
    ("data_prep.truth", "data"),
    ("data_prep.miniworld.__main__", "miniworld"),
]
# Name of the distribution where it is not that of the import.
DISTRIBUTIONS = {
    "absl": "absl-py",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "google_crc32c": "google-crc32c",
    "orbax": "orbax-checkpoint",
    "tensorflow_datasets": "tensorflow-datasets",
    "apache_beam": "apache-beam",
}
# Imported only when a command is asked for something that needs more than its extra.
ON_DEMAND = {
    "nuscenes": "requirements-nodeps.txt",
    "tokenizers": "llm: a config that names a real LLM's tokenizer",
    "gguf": "llm: weights in a .gguf file",
    "pycocoevalcap": "language: BLEU, ROUGE-L and CIDEr of answers",
    "rerun": "rerun: score --rerun",
    "jax_cuda12_plugin": "plan_run for a GPU: docs/plan_run.md",
    "libtpu": "plan_run for a TPU: docs/plan_run.md",
    "ml_dtypes": "a dependency of jax",
}

# The same, of one command.
ON_DEMAND_OF = {"dima_jax.score": {"tensorflow_datasets", "google_crc32c"}}  # --images, with the extra data or train


def merged(requirements) -> dict[str, SpecifierSet]:
    """{package: all that is asked of its version}; extras of this project are resolved."""
    result = defaultdict(SpecifierSet)
    for line in requirements:
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) == "dima-jax":
            for extra in requirement.extras:
                for name, versions in merged(EXTRAS[extra]).items():
                    result[name] &= versions
        else:
            name = canonicalize_name(requirement.name)
            result[name + "".join(f"[{extra}]" for extra in requirement.extras)] &= requirement.specifier
    return dict(result)


def lines(name: str) -> list[str]:
    """Requirements of a file, without comments."""
    rows = (row.partition("#")[0].strip() for row in (ROOT / name).read_text().splitlines())
    return [row for row in rows if row]


def test_requirements_are_the_sum_of_the_extras():
    everything = PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra]
    assert merged(lines("requirements.txt")) == merged(everything)


def test_the_version_is_said_once():
    """What is cited, what is changed and what is installed are one version."""
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    latest = next(row for row in (ROOT / "CHANGELOG.md").read_text().splitlines() if row.startswith("## "))
    assert latest.startswith(f"## {version} ")
    assert getattr(dima_jax, "__version__", version) == version


def test_the_base_is_light():
    assert set(merged(PROJECT["dependencies"])) == {"numpy", "onnxruntime"}


@cache
def imports(module: str) -> frozenset[str]:
    """Dotted names that a module of this project imports when it runs; empty for a name that is no module."""
    stem = ROOT.joinpath(*module.split("."))
    path = next((p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()), None)
    names = set()
    waiting = [ast.parse(path.read_text())] if path else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def foreign(module: str) -> set[str]:
    """Top-level names of other projects that a module reaches, through modules of this one."""
    seen, waiting, found = set(), [module], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for other in imports(name):
            top = other.partition(".")[0]
            if top in PACKAGES:
                waiting.append(other)
            elif top not in sys.stdlib_module_names:
                found.add(top)
    return found


@pytest.mark.parametrize(("module", "extra"), COMMANDS)
def test_an_extra_brings_what_its_commands_import(module, extra):
    declared = set(merged(PROJECT["dependencies"])) | set(merged(EXTRAS[extra]))
    found = foreign(module) - set(ON_DEMAND) - ON_DEMAND_OF.get(module, set())
    needed = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in found}
    assert len(needed) > 1
    assert needed <= declared


def test_scoring_needs_no_more_than_its_extra():
    declared = set(merged(PROJECT["dependencies"])) | set(merged(EXTRAS["score"]))
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("scoring", "metrics")
        for path in (ROOT / "dima_jax" / package).rglob("*.py")
    ]
    found = set().union(*map(foreign, modules))
    needed = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in found - set(ON_DEMAND)}
    assert {"numpy", "shapely", "jaxtyping"} <= needed <= declared


def test_pip_check_says_what_is_documented():
    result = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    complaints = set(result.stdout.strip().splitlines())
    faq = (ROOT / "docs" / "faq.md").read_text()
    documented = {line.strip() for line in faq.splitlines() if line.strip().startswith("nuscenes-devkit 1.2.0 ")}
    version = subprocess.run(
        [sys.executable, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True, check=True
    )
    documented = {line.replace("2.4.6", version.stdout.strip()) for line in documented}  # of the day it was written
    if importlib.util.find_spec("pycocotools"):  # the extra `language` brings it
        documented -= {"nuscenes-devkit 1.2.0 requires pycocotools, which is not installed."}
    assert documented and complaints == documented
