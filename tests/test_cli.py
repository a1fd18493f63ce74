"""How a command starts: help at once, one line for a mistake, a log file beside the run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from dima_jax import cli
from dima_jax.errors import UserError

ROOT = Path(__file__).parents[1]
COMMANDS = {  # {module: a flag that its help must explain}
    "dima_jax.train": "--config",
    "dima_jax.evaluate": "--config",
    "dima_jax.export": "--config",
    "dima_jax.ask": "--config",
    "dima_jax.cache_teacher": "--out",
    "dima_jax.cache_text": "--tokens",
    "dima_jax.score_answers": "--answers",
    "dima_jax.plan_run": "--config",
    "dima_jax.study": "--plan",
    "dima_jax.score": "--truth",
    "dima_jax.convert": "--config",
    "data_prep.miniworld": "--scenes",
    "data_prep.build": "--dataroot",
    "data_prep.check": "--strict",
    "data_prep.validate": "--data",
    "data_prep.miniworld.edit": "--dataroot",
    "data_prep.truth": "--field",
    "data_prep.mine": "--truth",
    "data_prep.nuscenes_detection": "--perception",
    "tests.golden": "--piece",
    **{
        f"benchmarks.{name}": flag
        for name, flag in (
            ("build", "--images"),
            ("card", "--minutes"),
            ("distillation", "--windows"),
            ("gradient_shares", "--share"),
            ("metrics", "--planners"),
            ("miniworld", "--scenes"),
            ("root_check", "--scenes"),
            ("sampling", "--target"),
            ("loader", "--turns"),
            ("memorize", "--epochs"),
            ("precision", "--seeds"),
            ("recipe", "--epochs"),
            ("student", "--parts"),
            ("surrogates", "--steps"),
            ("taught_images", "--steps"),
            ("teacher", "--llm"),
            ("train_step", "--runs"),
        )
    },
}
HEAVY = {
    *("jax", "flax", "transformers", "jax2onnx", "onnx", "gguf", "tensorflow", "tensorflow_datasets", "apache_beam"),
    *("nuscenes", "cv2", "shapely", "libsumo", "sumolib", "rich", "numpy"),
}
WITH_NUMPY = ("tests.golden", "benchmarks.teacher")


def command(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_teaches_and_imports_nothing_heavy(module):
    """It has an example and explains the flags."""
    heavy = HEAVY - {"numpy"} if module in WITH_NUMPY else HEAVY
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{module!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    print('status', end.code)\n"
        f"print('heavy', sorted({heavy!r} & {{name.split('.')[0] for name in sys.modules}}))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "status 0\nheavy []" in result.stdout, result.stdout + result.stderr
    for word in (f"python -m {module}", "flags:", f"\n  {COMMANDS[module]}\n", "\n  --help\n"):
        assert word in result.stdout, word
    assert re.search(rf"python -m {re.escape(module)} ([a-z]+ )?--", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config=configs/demo.py", "--config.optim.learning_rat=1"), ("learning_rat", "learning_rate")),
        (("--config=configs/absent.py",), ("configs/absent.py",)),
        (("--config=configs/demo.py", "--config.data.path=absent_records"), ("absent_records", "data_prep.build")),
        (("--config=configs/demo.py", "--workdi=x"), ("workdi", "workdir")),
        ((), ("--config is missing",)),
        (("--config=configs/demo.py", "--config.data.path=gs://bucket/records"), ("gs://bucket/records", "mount it")),
        (("--workdir", "s3://bucket/run"), ("s3://bucket/run", "mount it")),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, words, tmp_path):
    place = () if "--workdi=x" in arguments else (f"--workdir={tmp_path}",)
    result = command("dima_jax.train", *arguments, *place)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert all(word in last for word in words), last


def test_a_remote_name_is_refused_before_a_folder_is_made(tmp_path):
    arguments = ("--dataroot=data", "--out=gs://bucket/records")
    result = subprocess.run(
        [sys.executable, "-m", "data_prep.build", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and "--out=gs://bucket/records: is not on this machine" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_packaged_config_serves_where_there_is_no_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Path(cli._packaged("--config=configs/demo.py").partition("=")[2])
    assert found.samefile(ROOT / "configs" / "demo.py")
    assert cli._packaged("--config=configs/absent.py") == "--config=configs/absent.py"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.py").touch()
    assert cli._packaged("--config=configs/demo.py") == "--config=configs/demo.py"  # the user's own comes first


def test_what_is_printed_is_logged(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # undone at the end, with what log_to put there
    monkeypatch.setattr(cli, "_log", [])
    cli.log_to(tmp_path / "run", "train")
    print("on the screen and in the file")
    with pytest.raises(SystemExit):
        cli._fail("what is wrong")
    text = (tmp_path / "run" / "train.log").read_text()
    assert text.startswith("--- ") and "on the screen and in the file\nerror: what is wrong\n" in text
    assert "on the screen" in capsys.readouterr().out
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/sub"):
        cli.log_to(tmp_path / "file" / "sub", "train")
    cli.log_to(tmp_path / "file" / "sub", "evaluate", is_needed=False)  # of a run that can only be read
    assert f"no log: {tmp_path}/file/sub/evaluate.log: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ("open('absent/file', 'w')", 2, "error: absent/file: No such file or directory"),
        (
            "raise OSError(28, 'No space left on device', 'x')",
            2,
            "error: x: No space left on device; free the disk, or",
        ),
        (
            "raise OSError(30, 'Read-only file system', 'x')",
            2,
            "error: x: Read-only file system; give a folder that can",
        ),
        ("raise BrokenPipeError", 141, ""),
        ("raise KeyError('a bug')", 1, "KeyError: 'a bug'"),  # keeps its traceback
    ],
)
def test_a_disk_that_refuses_is_one_line(body, status, line, tmp_path):
    code = f"from dima_jax import cli\ndef main():\n    {body}\ncli.run(main)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, line in result.stderr) == (status, True), result.stderr
    assert ("Traceback" in result.stderr) == (status == 1) and (status == 1 or result.stderr.count("\n") == bool(line))


@pytest.mark.parametrize("room", [0, 300])
def test_a_log_that_cannot_be_written_is_one_line(room, tmp_path):
    """From the start, or when more is printed than there is room for."""
    code = (
        "import resource\nfrom dima_jax import cli\ndef main():\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, -1))\n"
        f"    cli.log_to({str(tmp_path)!r}, 'train')\n    print('x' * 1000)\ncli.run(main)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert re.match(rf"error: {tmp_path}/train\.log: (File too large|No space left on device); free", result.stderr)


def test_an_error_of_several_lines_is_one(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_log", [])
    with pytest.raises(SystemExit):
        cli._fail("a\nb\nc")
    assert capsys.readouterr().err == "error: a b c\n"


def test_compiled_programs_are_kept_in_a_bounded_place_of_the_user(tmp_path, monkeypatch):
    for name in ("DIR", "MAX_SIZE"):
        monkeypatch.delenv(f"JAX_COMPILATION_CACHE_{name}", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dima_jax" / "compiled"
    folder.mkdir(parents=True)
    for name in ("whole-cache", "whole-atime", "cut-cache"):
        (folder / name).touch()
    cli.keep_programs()
    assert sorted(path.name for path in folder.iterdir()) == ["whole-atime", "whole-cache"]
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] == str(cli.PROGRAMS_BYTES)
    assert jax_reads_the_size()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_MAX_SIZE")
    cli.keep_programs()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine" and "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")  # cannot be written
    cli.keep_programs()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def jax_reads_the_size():
    code = f"import jax; assert jax.config.jax_compilation_cache_max_size == {cli.PROGRAMS_BYTES}"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("devices", "given", "expected"),
    [
        (1, "", ""),
        (2, "", "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"),
        (8, "", ""),  # more than there are cores: the mesh reports it
        (2, "--xla_force_host_platform_device_count=4", "--xla_force_host_platform_device_count=4"),
        (
            2,
            "--xla_dump_to=x",
            "--xla_dump_to=x --xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false",
        ),
    ],
)
def test_the_cpu_becomes_the_devices_of_the_mesh(monkeypatch, devices, given, expected):
    monkeypatch.setattr(cli.os, "cpu_count", lambda: 4)
    monkeypatch.setenv("XLA_FLAGS", given)
    cli.prepare_jax(ConfigDict(dict(data=devices, fsdp=1, model=1)))
    assert os.environ["XLA_FLAGS"] == expected
