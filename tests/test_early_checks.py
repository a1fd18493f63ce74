"""What `ask`, `evaluate` and `export` refuse before JAX is there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dima_jax import early_checks
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from tests import tiny_root
from tests.mini import mini_config

ROOT = Path(__file__).parents[1]
READS = ("seed", "student", "data")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return mini_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))


@pytest.fixture
def run(config, tmp_path):
    """A run's folder of two steps, whose `meta` can be damaged; it holds nothing else."""
    for step in ("1", "10"):
        folder = tmp_path / "run" / "checkpoints" / step / "meta"
        folder.mkdir(parents=True)
        saved = config.to_dict() | {"seed": int(step)}
        (folder / "metadata").write_text(json.dumps({"config": saved}))
    return tmp_path / "run"


def test_the_latest_config_is_read_without_jax(run):
    assert early_checks.saved_config(run).seed == 10
    assert early_checks.saved_config(run / "checkpoints" / "1").seed == 1
    (run / "checkpoints" / "10" / "meta" / "metadata").write_text("{")
    assert early_checks.saved_config(run) is None
    early_checks.check_run(run, None, READS)  # `checkpoints` says what is wrong with it


def test_a_run_from_before_a_key_is_read_with_todays_value(run, capsys):
    file = run / "checkpoints" / "10" / "meta" / "metadata"
    saved = json.loads(file.read_text())
    del saved["config"]["data"]["cameras"], saved["config"]["distill"]
    file.write_text(json.dumps(saved))
    early_checks.check_run(run, None, (*READS, "distill"))
    assert "data.cameras=" in capsys.readouterr().out


def test_split_sample_and_config_are_checked(run, config):
    sample = Records(config.data.path, "val").samples[3]
    early_checks.check_run(run, None, READS, sample=sample)
    assert early_checks.find_sample(Records(config.data.path, "val"), sample) == 3
    with pytest.raises(UserError, match=r"--sample=absent: split 'val' of .* has no such sample"):
        early_checks.check_run(run, None, READS, sample="absent")
    with pytest.raises(UserError, match=f"--sample={sample}: split 'train'"):
        early_checks.check_run(run, None, READS, split="train", sample=sample)
    with pytest.raises(UserError, match="no split 'test'"):
        early_checks.check_run(run, None, READS, split="test")
    given = config.copy_and_resolve_references()
    given.data.path = str(run / "records")
    with pytest.raises(UserError, match=r"data\.path=.*records: no such folder"):
        early_checks.check_run(run, given, READS)
    file = run / "checkpoints" / "10" / "meta" / "metadata"
    file.write_text(file.read_text().replace('"rgb"', '"gbr"'))
    with pytest.raises(UserError, match=r"data\.color_order='gbr'"):
        early_checks.check_run(run, None, READS)


def test_a_folder_that_is_absent_is_refused(tmp_path):
    assert early_checks.chosen_run(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match=r"--checkpoint=.*absent: no such folder"):
        early_checks.chosen_run(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("ask", ("--sample=absent", "What now?"), "--sample=absent"),
        ("ask", ("--split=test", "--out=answers.json"), "no split 'test'"),
        ("evaluate", ("--split=test",), "no split 'test'"),
        ("evaluate", ("--step=7",), "run has no step 7; it has 1, 10"),
        ("evaluate", ("--step=1",), "data.color_order='gbr'"),
        ("ask", ("--step=1", "--out=answers.json"), "data.color_order='gbr'"),
    ],
)
def test_a_command_refuses_before_jax(module, flags, message, run):
    """Step 1, not the latest, has a config that is damaged."""
    file = run / "checkpoints" / "1" / "meta" / "metadata"
    file.write_text(file.read_text().replace('"rgb"', '"gbr"'))
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{module!r}, '--checkpoint={run}', *{flags!r}]\n"
        "try:\n"
        f"    runpy.run_module('dima_jax.{module}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    print(end.code, {'jax', 'flax', 'orbax', 'tensorflow'} & {*sys.modules})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "2 set()\n" and message in result.stderr and result.stderr.count("\n") == 1, result.stderr
