"""What is kept is the mean state of the LLM over the text of a frame; stopped, shared or in other batches it is the same."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import text_reading, weights
from dima_jax.convert import llm_folder
from dima_jax.convert.rules import Target
from dima_jax.data import loader
from dima_jax.data.frame_text import FrameTexts
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.teacher.llama import Llama
from dima_jax.teacher_cache import TeacherCache
from tests.mini import mini_config
from tests.test_cli import command

TOKENS = 100


@pytest.fixture(scope="module")
def config(joint_run, tmp_path_factory):
    """With the weights of an LLM in a folder, and a student that is narrower than it."""
    config = mini_config(joint_run.config.data.path)
    config.teacher.llm.width = 96
    config.student.width = 32
    folder = tmp_path_factory.mktemp("llm")
    sizes = {key: value for key, value in config.teacher.llm.items() if key not in ("dtype", "remat", "rope_scaling")}
    writer = llm_folder.Writer(folder, sizes, "float32")
    for path, value in drawn(config, 7).items():
        writer.write(Target(path, None), np.asarray(value))
    writer.close()
    config.teacher.weights = str(folder)
    return config


def drawn(config, seed):
    return weights.split(Llama(**config.teacher.llm, rngs=nnx.Rngs(seed)))[1]


@pytest.fixture(scope="module")
def cache(config, tmp_path_factory):
    return write(config, tmp_path_factory.mktemp("text"))


def write(config, out, **options):
    return text_reading.write(config, "train", out, **dict(tokens=TOKENS, batch=4) | options)


def raw(cache, config):
    return cache.load_raw(Records(config.data.path, "train"))


def test_is_the_mean_state_over_the_text_alone(config, cache):
    """Each text is read here without padding."""
    records = Records(config.data.path, "train")
    texts, model = FrameTexts(records, ByteTokenizer(), TOKENS), Llama(**config.teacher.llm, rngs=nnx.Rngs(7))
    found = raw(cache, config)
    assert found.ego_offsets is None and found.ego_feature.shape == (len(records), 96)
    for number in (0, 2, 10):
        tokens, mask, *_ = texts.tokens(number)
        ids = jnp.asarray(tokens[mask])[None]
        states = model(model.embed_tokens(ids), jnp.ones(ids.shape, bool), prefix=0, lora=None)
        np.testing.assert_allclose(found.ego_feature[number], states[0].mean(0), atol=1e-5)


def test_goes_on_and_shares_and_batches_change_nothing(config, cache, tmp_path):
    for part in (0, 1):
        write(config, tmp_path, part=part, parts=2, batch=3)
    np.testing.assert_allclose(
        raw(TeacherCache(tmp_path), config).ego_feature, raw(cache, config).ego_feature, atol=1e-6
    )
    scene = next(tmp_path.glob("*.npz"))
    before = scene.read_bytes()
    scene.unlink()
    write(config, tmp_path, batch=3)
    assert scene.read_bytes() == before


def test_each_text_is_read_once():
    rows = []
    reader = text_reading.Reader(lambda tokens, mask: rows.append(len(tokens)) or tokens * mask, 2)
    one, other = np.array([1, 2]), np.array([3, 4])
    real, half = np.array([True, True]), np.array([True, False])
    found = reader.read([(one, real), (other, real), (one, real), (one, half)])
    np.testing.assert_array_equal(found, [[1, 2], [3, 4], [1, 2], [1, 0]])
    np.testing.assert_array_equal(reader.read([(other, real)]), [[3, 4]])
    assert rows == [2, 2]


def test_random_weights_are_another_llm_and_need_no_folder(config, cache, tmp_path):
    other = config.copy_and_resolve_references()
    other.teacher.weights = ""
    found = write(other, tmp_path / "7", random=7)
    np.testing.assert_allclose(raw(found, config).ego_feature, raw(cache, config).ego_feature, atol=1e-5)
    assert found.source() == cache.source()  # the weights of the folder are those of seed 7
    with pytest.raises(UserError, match="another llm; give another --out"):
        write(other, tmp_path / "7", random=8)
    with pytest.raises(UserError, match="another tokens; give another --out"):
        write(config, cache.folder, tokens=50)


def test_a_student_gets_components_of_its_own_width(config, cache):
    """In training, from images: the frame's own, without a plan."""
    config = config.copy_and_resolve_references()
    config.distill.cache, config.teacher.enabled, config.distill.form = str(cache.folder), False, "feature_l2"
    windows = loader.TrainWindows(config)
    batch = windows.batch(0, 4)
    assert batch.taught.ego_offsets is None and batch.taught.ego_feature.shape == (4, 64)
    whole = cache.load(windows.records, config.student).ego_feature
    np.testing.assert_array_equal(batch.taught.ego_feature, whole[batch.index])
    np.testing.assert_allclose(whole.mean(0), 0, atol=1e-4)
    config.distill.form = "plan"
    with pytest.raises(
        UserError, match=r"config\.distill\.form='plan': must be feature_l2, kl or kl_standardized with"
    ):
        loader.TrainWindows(config)
    config.distill.update(form="kl", gate=True)
    with pytest.raises(UserError, match=r"config\.distill\.gate=True: must be False with"):
        loader.TrainWindows(config)


@pytest.mark.parametrize(
    ("changes", "random", "words"),
    [
        ({"teacher.llm.layers": 3}, None, "config.teacher.llm.layers=3 does not fit"),
        ({"teacher.llm.vocab": 100}, 0, "has 259 ids, but config.teacher.llm.vocab=100"),
        ({"teacher.llm.heads": 5}, 0, "config.teacher.llm: width 96, heads 5"),
        ({"data.path": "absent"}, None, "absent"),
    ],
)
def test_what_does_not_fit_is_one_line(config, tmp_path, changes, random, words):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=words) as found:
        write(config, tmp_path / "text", random=random)
    assert "\n" not in str(found.value) and not (tmp_path / "text").exists()


def test_the_command_refuses_in_one_line(config, tmp_path, monkeypatch):
    """Before JAX is imported."""
    given = ("--config=configs/demo_smollm2.py", f"--config.data.path={config.data.path}", f"--out={tmp_path / 'x'}")
    for more, words in (
        (("--config.teacher.weights=",), 'config.teacher.weights="": names no LLM to read with'),
        (
            ("--config.teacher.weights=absent", "--config.teacher.tokenizer="),
            "config.teacher.weights=absent: no such folder",
        ),
        (("--config.teacher.tokenizer=", "--random=0", "--share=2/2"), "--share=2/2: give the number of this command"),
        (("--config.teacher.tokenizer=", "--random=0", "--split=test"), "test"),
    ):
        result = command("dima_jax.cache_text", *given, *more)
        last = result.stderr.strip().splitlines()[-1]
        assert result.returncode == 2 and last.startswith("error: ") and words in last, result.stderr


def test_training_refuses_a_plan_that_there_is_not(config, cache, tmp_path):
    """Before anything is built."""
    given = ("--config=configs/demo.py", "--config.teacher.enabled=False", "--config.distill.form=plan")
    paths = (f"--config.data.path={config.data.path}", f"--config.distill.cache={cache.folder}")
    result = command("dima_jax.train", *given, *paths, "--config.train.init_from=", f"--workdir={tmp_path / 'run'}")
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2 and last.startswith("error: config.distill.form='plan': must be"), result.stderr
    assert not (tmp_path / "run").exists()
