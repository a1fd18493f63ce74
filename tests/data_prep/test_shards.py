"""The assignment of scenes to shards."""

from pathlib import Path

from data_prep import shards


def test_shards_are_whole_scenes(monkeypatch):
    monkeypatch.setattr(shards, "FRAMES_PER_SHARD", 50)
    scenes = [{"token": str(i), "nbr_samples": 40} for i in range(5)]
    planned = shards.plan({"train": scenes}, Path("out"))["train"]
    assert [shard.scenes for shard in planned] == [("0", "1"), ("2", "3"), ("4",)]
    assert [shard.frames for shard in planned] == [80, 80, 40]
