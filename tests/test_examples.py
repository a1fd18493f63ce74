"""The notebooks of examples/ and the Python of README run from the first line to the last, on a small run with a teacher."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("notebook", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, joint_run, monkeypatch):
    monkeypatch.setenv("DIMA_RUN", str(joint_run.folder))
    cells = nbformat.read(notebook, as_version=4)
    NotebookClient(cells, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in cells.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("A: " in output.get("text", "") for output in outputs)


def test_the_example_of_the_readme_runs(joint_run, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "shipped").symlink_to(joint_run.folder)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / "README.md").read_text())
    exec(compile(code, "README.md", "exec"), {})
    assert "[[" in capsys.readouterr().out
