"""When the teacher teaches, that it then stays as it is, and which teacher a run starts with. No model is compiled."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import checkpoints, optimizer, teaching, train_loop, train_step
from dima_jax.data import fake_batch
from dima_jax.dima import SHARED_HEAD
from dima_jax.errors import UserError
from dima_jax.types import Term
from tests import tiny_trainer
from tests.mini import mini_config

BATCH = fake_batch.example(mini_config())  # the loss here reads none of it

HEAD = teaching.HEAD


def weights_at(steps, **options):
    config = mini_config()
    config.loss.distill = 0.5
    config.distill.update(**options)
    return [float(teaching.weight(config, jnp.int32(step))) for step in steps]


def test_the_weight_waits_and_then_rises():
    assert weights_at(range(3)) == [0.5, 0.5, 0.5]
    assert weights_at(range(4), start_step=2) == [0.0, 0.0, 0.5, 0.5]
    assert weights_at(range(7), start_step=2, ramp_steps=4) == [0.0, 0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    assert weights_at(range(3), ramp_steps=2) == [0.25, 0.5, 0.5]


class Step:
    """The real step of training on a few arrays; the student's is drawn to the teacher's by distillation."""

    def __init__(self, monkeypatch, **options):
        config = tiny_trainer.config()
        config.distill.update(start_step=2, **options)
        self.model = tiny_trainer.Model(config)
        self.model.graph = None
        self.model.abstract[f"{SHARED_HEAD}bias"] = self.model.abstract["student/a"]
        self.optim = optimizer.build(config, steps_per_epoch=5)
        monkeypatch.setattr(train_step.weights, "bind", lambda graph, params: lambda batch, **_: self.output(params))
        monkeypatch.setattr(train_step, "loss_terms", self.terms)
        monkeypatch.setattr(train_step.dima_loss, "acting_shares", lambda *_: {})
        monkeypatch.setattr(train_step.dima_loss, "plan_errors", lambda *_: {"l2_student": 1.0, "l2_teacher": 2.0})
        self.step = train_step.make_train_step(self.model, self.optim)

    def output(self, params):
        return SimpleNamespace(params=params, student=None, teacher=None)

    def terms(self, output, batch, config):
        squares = sum(jnp.square(x - 1).sum() for x in output.params.values())
        distance = jnp.square(output.params["student/b"] - 100.0)
        return {"teacher_imitation": Term(squares, jnp.float32(1)), "distill": Term(distance, jnp.float32(1))}

    def start(self):
        params = self.model.init_params() | {f"{SHARED_HEAD}bias": jnp.full((64, 33), 3.0)}
        return train_step.init_train_state(self.model, self.optim, params)[0]

    def run(self, state, steps):
        """[(weights, log)] after every step."""
        found = []
        for _ in range(steps):
            state, log = self.step(state, {}, BATCH, jax.random.key(0))
            found.append((jax.device_get(state.params), log))
        return found, state


@pytest.mark.parametrize("form", ["kl", "shared_head"])
def test_the_teacher_learns_first_and_stays_as_it_is_while_it_teaches(monkeypatch, form):
    step = Step(monkeypatch, freeze_teacher=True, form=form)
    start = step.start()
    before = jax.device_get(start.params)
    rows, _ = step.run(start, 4)
    weights = [float(log["distill_weight"]) for _, log in rows]
    np.testing.assert_allclose(weights, [0.0, 0.0, 0.1, 0.1])  # the demo's weight
    for _, log in rows:
        expected = log["loss/teacher_imitation"] + log["distill_weight"] * log["loss/distill"]
        np.testing.assert_allclose(log["loss/total"], expected, rtol=1e-5)
    after = [params for params, _ in rows]
    for path in before:
        pairs = zip([before, *after[:-1]], after, strict=True)
        of_steps = [bool((a[path] != b[path]).all()) for a, b in pairs]
        is_teacher = path.startswith("teacher/") or (form == "shared_head" and path.startswith(SHARED_HEAD))
        assert of_steps == ([True, True, False, False] if is_teacher else [True] * 4), path
    assert [float(rows[-1][1][f"plan/l2_{name}"]) for name in ("student", "teacher")] == [1.0, 2.0]


def test_a_teacher_that_is_not_frozen_goes_on_learning(monkeypatch):
    step = Step(monkeypatch)
    rows, _ = step.run(step.start(), 4)
    assert (rows[2][0]["teacher/d"] != rows[3][0]["teacher/d"]).all()


def test_the_schedule_goes_on_where_the_state_stopped(monkeypatch):
    """It hangs on `state.step` alone: three steps and two are five, bit for bit."""
    step = Step(monkeypatch, freeze_teacher=True, ramp_steps=3)
    straight, _ = step.run(step.start(), 5)
    _, state = step.run(step.start(), 3)
    again = Step(monkeypatch, freeze_teacher=True, ramp_steps=3)
    resumed, _ = again.run(jax.tree.map(jnp.asarray, jax.device_get(state)), 2)
    for path, value in resumed[-1][0].items():
        np.testing.assert_array_equal(value, straight[-1][0][path], err_msg=path)


@pytest.fixture
def earlier(tmp_path):
    """A whole run of a few arrays whose LLM base was frozen, and the config of a run that goes on from it."""
    config = mini_config()
    trained = {f"{HEAD}kernel": np.full(2, 1.0), f"{HEAD}bias": np.full(1, 2.0), "teacher/lora": np.full(3, 3.0)}
    checkpoints.save_student(tmp_path, {"student/weight": np.ones(3)}, config)
    checkpoints.save_weights(tmp_path / "checkpoints" / "0" / "trainable", trained | {"auxiliary/x": np.ones(1)})
    config = mini_config()
    config.train.update(init_from=str(tmp_path), init_teacher=True)
    return config, trained


def fresh(config):
    own = [] if config.distill.form == "shared_head" else [f"{HEAD}kernel", f"{HEAD}bias"]
    paths = ["teacher/lora", "teacher/llm/embed", *own, f"{SHARED_HEAD}kernel", f"{SHARED_HEAD}bias", "student/weight"]
    return {path: np.zeros({"kernel": 2, "bias": 1}.get(path.split("/")[-1], 3)) for path in paths}


def test_a_run_starts_with_the_earlier_teacher(earlier):
    config, trained = earlier
    found = teaching.earlier_teacher(config, fresh(config))
    assert found.keys() == trained.keys()
    for path, value in trained.items():
        np.testing.assert_array_equal(found[path], value)
    config.train.init_teacher = False
    assert teaching.earlier_teacher(config, fresh(config)) == {}


def test_the_earlier_teachers_last_linear_becomes_the_shared_one(earlier):
    config, trained = earlier
    config.distill.form = "shared_head"
    found = teaching.earlier_teacher(config, fresh(config))
    assert found.keys() == {"teacher/lora", f"{SHARED_HEAD}kernel", f"{SHARED_HEAD}bias"}
    np.testing.assert_array_equal(found[f"{SHARED_HEAD}kernel"], trained[f"{HEAD}kernel"])


def test_a_shared_linear_becomes_the_own_one_of_both(earlier):
    config, trained = earlier
    folder = f"{config.train.init_from}/checkpoints/0/trainable"
    checkpoints.save_weights(folder, {"teacher/lora": trained["teacher/lora"]})
    params = fresh(config) | {f"{SHARED_HEAD}kernel": np.full(2, 7.0)}  # of the earlier student
    np.testing.assert_array_equal(teaching.earlier_teacher(config, params)[f"{HEAD}kernel"], np.full(2, 7.0))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({"teacher.lora.rank": 7}, r"train\.init_teacher=True.*teacher\.lora\.rank was 2, is 7"),
        ({"seed": 5}, r"seed was 0, is 5"),  # the frozen base is drawn from it
        ({"optim.groups": (("teacher/.*", 0.0), (".*", 1.0))}, r"config\.optim\.groups freezes .*freeze_teacher=True"),
    ],
)
def test_an_earlier_teacher_that_does_not_fit_is_refused(earlier, lines, message):
    config, _ = earlier
    config.update_from_flattened_dict(lines)
    with pytest.raises(UserError, match=message):
        teaching.earlier_teacher(config, fresh(config))


def test_a_student_alone_has_no_teacher_to_start_with(tmp_path):
    config = mini_config()
    checkpoints.save_student(tmp_path, {"student/weight": np.ones(3)}, config)
    config.train.update(init_from=str(tmp_path), init_teacher=True)
    with pytest.raises(UserError, match=r"train\.init_teacher=True.*holds a student alone; name a whole run"):
        teaching.earlier_teacher(config, fresh(config))


def test_weights_that_the_earlier_run_does_not_have_are_named(earlier):
    config, _ = earlier
    with pytest.raises(UserError, match="has no weight teacher/new"):
        teaching.earlier_teacher(config, fresh(config) | {"teacher/new": np.zeros(1)})


def test_the_progress_line_shows_both_plans():
    notes, numbers = [], {}
    bar = SimpleNamespace(advance=lambda count, note: notes.append(note))
    writer = SimpleNamespace(add_scalar=lambda name, value, step: numbers.update({name: value}))
    log = {"loss/total": 3.0, "plan/l2_student": 0.514, "plan/l2_teacher": 0.627}
    train_loop.report(writer, bar, 7, log)
    assert notes == ["total=3 l2_student=0.51 m l2_teacher=0.63 m"] and numbers == log
    del log["plan/l2_teacher"]
    train_loop.report(writer, bar, 8, log)
    assert notes[-1] == "total=3 l2_student=0.51 m"
