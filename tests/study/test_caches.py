"""What files say teaches every seed alike; files that cannot teach an arm are refused with the arm, before anything is trained."""

import numpy as np
import pytest

from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.scene_shards import scenes_of
from dima_jax.study import caches, run, training
from dima_jax.study.plan import config_of
from dima_jax.teacher_cache import Taught, TeacherCache
from tests import tiny_root
from tests.study import mini
from tests.study.test_run import TOLD
from tests.test_cli import command


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    return tiny_root.write_drives(tiny_root.make(folder / "root"), folder / "records", scenes=6)


@pytest.fixture
def cache(records, tmp_path):
    return write(tmp_path / "text", records)


def write(folder, records, seed=0, split="train", scenes=None):
    found, rng = Records(records, split), np.random.default_rng(seed)
    cache = TeacherCache(folder)
    cache.open({"plan": False, "data": found.data_hash, "split": split, "llm": seed})
    for scene in scenes_of(found)[:scenes]:
        feature = rng.normal(size=(len(scene.numbers), 96)).astype(np.float32)
        cache.write(scene, found.samples, Taught(feature, None))
    return cache


def plan(records, folder, form="feature_l2", **lines):
    arm = mini.Arm("read", "From files.", {**mini.ALONE, "distill.form": form, **lines}, cache=str(folder))
    return mini.plan(records, arms=(mini.plan().arms[0], arm))


def test_every_seed_is_taught_the_same(records, cache):
    one = plan(records, cache.folder)
    caches.check(one)
    train = Records(records, "train")
    found, content_hash = caches.load(one, one.arm("read"), train)
    whole = cache.load(train, config_of(one, one.arm("read")).student).ego_feature
    assert found.ego_offsets is None and found.ego_feature.shape == (mini.SEEDS, len(train), 64)
    for seed in range(mini.SEEDS):
        np.testing.assert_array_equal(found.ego_feature[seed], whole)
    assert found.ego_feature[0].std() > 0.1 and len(content_hash) == 16


def test_another_content_is_another_teacher(records, cache, tmp_path):
    def hash_of(folder):
        one = plan(records, folder)
        return caches.load(one, one.arm("read"), Records(records, "train"))[1]

    same, other = (write(tmp_path / name, records, seed).folder for name, seed in (("same", 0), ("other", 1)))
    assert hash_of(same) == hash_of(cache.folder) != hash_of(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(form="plan"), "arm 'read': config.distill.form='plan': must be feature_l2, kl or kl_standardized"),
        ({"distill.gate": True}, "arm 'read': config.distill.gate=True: must be False with"),
    ],
)
def test_a_plan_that_nobody_made_is_never_compared(records, cache, changes, words):
    with pytest.raises(UserError) as found:
        caches.check(plan(records, cache.folder, **changes))
    assert words in str(found.value) and "\n" not in str(found.value)


def test_files_that_cannot_teach_are_refused(records, tmp_path):
    with pytest.raises(
        UserError, match=r"arm 'read': .*absent: no such folder; `python -m dima_jax\.cache_text` writes"
    ):
        caches.check(plan(records, tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"arm 'read': .*source\.json: .*cache_text"):
        caches.check(plan(records, tmp_path / "empty"))
    with pytest.raises(UserError, match=r"arm 'read': .* is of split 'val' of other records"):
        caches.check(plan(records, write(tmp_path / "val", records, split="val").folder))
    with pytest.raises(UserError, match=r"arm 'read': .* lacks 1 of 1 scenes"):
        caches.check(plan(records, write(tmp_path / "part", records, scenes=0).folder))


def test_a_study_gives_an_arm_what_its_files_say(records, cache, tmp_path, monkeypatch):
    given = []

    def train(config, seeds, data, taught, **_):
        given.append(taught)
        plans = np.zeros((seeds, len(data.val.index), 6, 2), np.float32)
        return training.Trained(plans + len(given), {"loss": np.zeros((seeds, 1), np.float32)}, None, None)

    monkeypatch.setattr(training, "train", train)
    one = plan(records, cache.folder)
    run.run(one, str(tmp_path / "out"), **TOLD)
    assert given[0] is None and given[1].ego_offsets is None and given[1].ego_feature.shape[0] == mini.SEEDS
    run.run(one, str(tmp_path / "out"), **TOLD)
    assert len(given) == 2
    other = plan(records, write(tmp_path / "other", records, seed=1).folder)
    with pytest.raises(UserError, match=r"read\.npz: this arm was trained with teacher="):
        run.run(other, str(tmp_path / "out"), **TOLD)
    assert str(cache.folder) in (tmp_path / "out" / "index.html").read_text()


def test_the_command_names_the_arm_whose_files_are_missing(records, tmp_path):
    text = tmp_path / "plan.py"
    text.write_text(
        f"from tests.study import mini, test_caches\n\n\ndef get_plan():\n    return test_caches.plan({str(records)!r}, 'absent')\n"
    )
    result = command("dima_jax.study", f"--plan={text}", f"--out={tmp_path / 'out'}")
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2 and last.startswith("error: arm 'read': absent: no such folder; "), result.stderr
    assert not (tmp_path / "out").exists()
