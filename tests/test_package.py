"""What people install: the wheel's files, and an exported student that plans where nothing else is installed.

`make test-package` runs this and prints the sizes and the times.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dima_jax.constants import COMMANDS

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
HEAVY = ("jax", "flax", "orbax", "tensorflow", "apache_beam", "libsumo", "cv2", "matplotlib")


def run(*command, **options) -> str:
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the wheel and the source archive of the files that git knows, built aside from the work tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
        path = ROOT / name
        if path.exists() and not name.startswith("tests/golden/data/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, source / name, follow_symlinks=False)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=source)
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def modules(folder: str) -> set[str]:
    """Python files below a folder of the work tree, relative to it."""
    return {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob("*.py")}


def test_the_wheel_holds_the_packages_and_their_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"dima_jax", "data_prep"}
    assert {f"dima_jax/configs/{name}" for name in modules("configs")} <= names
    assert {f"data_prep/{name}" for name in modules("data_prep")} <= names
    assert {f"dima_jax/{name}" for name in modules("dima_jax") if not name.startswith("configs/")} <= names
    towns = (ROOT / "data_prep" / "miniworld" / "world").glob("*.xml")
    assert {f"data_prep/miniworld/world/{path.name}" for path in towns} | {"dima_jax/py.typed"} <= names
    page = (ROOT / "dima_jax" / "html_report").glob("page.*")
    assert {path.relative_to(ROOT).as_posix() for path in page} <= names
    trained = [
        path for path in (ROOT / "dima_jax" / "pretrained").rglob("*") if path.suffix != ".pyc" and path.is_file()
    ]
    assert {path.relative_to(ROOT).as_posix() for path in trained} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_archive_builds_the_same_wheel(dist, wheel, tmp_path):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert not {"tests", "benchmarks", "configs"} & {path.name for path in source.iterdir()}
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "again", source)
    (again,) = (tmp_path / "again").glob("*.whl")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, Path, np.ndarray]:
    """(a small student as ONNX, three frames as npz, waypoints [3, F, 2] that JAX plans for them)."""
    from flax import nnx

    from dima_jax import checkpoints, fake_frames, onnx_export, weights
    from dima_jax.policy import Frame, Policy
    from dima_jax.student import student as student_lib
    from tests.mini import mini_config

    folder, config = tmp_path_factory.mktemp("exported"), mini_config()
    params = weights.split(student_lib.build(config, nnx.Rngs(3)))[1]
    checkpoints.save_student(folder, {f"student/{path}": value for path, value in params.items()}, config)
    policy = Policy.load(folder)
    file = onnx_export.export_student(policy.student, folder / "student.onnx")
    frames = [Frame.from_batch(frame) for frame in fake_frames.drive(policy.info.image_shape, 3, batch_size=1)]
    np.savez(folder / "frames.npz", **{name: np.stack([getattr(f, name) for f in frames]) for name in Frame._fields})
    return file, folder / "frames.npz", np.stack([policy.step(frame).waypoints for frame in frames])


def test_an_exported_student_plans_without_jax(wheel, exported, tmp_path):
    """A bare environment, `pip install dima_jax-*.whl` and the script of examples/."""
    file, frames, expected = exported
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    before = size(packages)
    start = time.monotonic()
    run(python, "-m", "pip", "install", "--quiet", wheel)
    seconds = time.monotonic() - start
    installed = size(packages) - before
    assert not [name for name in HEAVY if (packages / name).exists()]
    here = {"cwd": tmp_path}  # not the work tree, whose modules would be found first
    printed = run(python, ROOT / "examples" / "plan_with_onnx.py", file, frames, **here).splitlines()
    assert len(printed) == len(expected)
    for line, waypoints in zip(printed, expected, strict=True):
        command, _, rest = line.partition(": ")
        assert command in COMMANDS
        np.testing.assert_allclose(json.loads(rest.partition(" m,")[0]), waypoints, atol=0.011)
    imports = min(import_time(python, here) for _ in range(5))
    assert imports < 0.3
    print(
        f"\nwheel {wheel.stat().st_size / 2**20:.2f} MiB; installed {installed / 2**20:.0f} MiB in {seconds:.0f} s "
        f"({', '.join(sorted(p.name for p in packages.iterdir() if p.suffix == '.dist-info'))}); "
        f"import dima_jax {1000 * imports:.0f} ms"
    )


def import_time(python: Path, options: dict) -> float:
    code = "import time; t = time.perf_counter(); import dima_jax; print(time.perf_counter() - t)"
    return float(run(python, "-c", code, **options))


def size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
