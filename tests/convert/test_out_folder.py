"""The folder of a conversion is a new one, whole or absent."""

import pytest

from dima_jax.convert import llm_folder, out_folder
from dima_jax.errors import UserError


def test_it_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with out_folder.new(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a"]
    with pytest.raises(RuntimeError), out_folder.new(tmp_path / "other") as folder:
        (folder / "a").write_text("a")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_an_empty_folder_and_a_killed_conversion_are_no_obstacle(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "old").write_text("left")
    with out_folder.new(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []
        (folder / "a").write_text("a")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "out"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("checkpoints/40/meta/metadata", r"a run \(step 40\)"),
        ("_METADATA", "converted weights"),
        (llm_folder.INDEX, "a converted LLM"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_what_is_there_is_named(tmp_path, name, said):
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_text("")
    with pytest.raises(UserError, match=f"out holds {said}; give another --out"), out_folder.new(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / name).exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file holds a file"), out_folder.new(tmp_path / "file"):
        pass
    with pytest.raises(UserError, match="Not a directory"), out_folder.new(tmp_path / "file" / "out"):
        pass
