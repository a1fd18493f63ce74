"""The settings of the small data set in `conftest.py`, and its samples."""

from data_prep.miniworld import writer

SIZE, SECONDS, SEED = (256, 144), 17.5, 0


def settings():
    return writer.settings(scenes=1, val_scenes=1, seed=SEED, size=SIZE, seconds=SECONDS)


def samples(tables, scene):
    """The samples of a scene in order of time."""
    token = scene["first_sample_token"]
    while token:
        sample = tables.get("sample", token)
        yield sample
        token = sample["next"]
