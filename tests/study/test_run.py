"""A whole study: files, page, what is not trained twice, and what is refused."""

import contextlib
import json

import pytest

from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.scoring.token_lists import FORMAT, VERSION
from dima_jax.study import arm_file, run, training
from tests import tiny_root
from tests.study import mini
from tests.test_output_files import strict

TOLD = dict(file="plan.py", command="python -m dima_jax.study", created="")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return tiny_root.write_drives(tiny_root.make(folder / "root"), folder / "records", scenes=6)


@pytest.fixture(scope="module")
def finished(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run.run(mini.plan(records), str(out), **TOLD)


def test_a_study_leaves_arms_numbers_and_a_page(finished):
    out, page = finished
    assert sorted(path.name for path in out.iterdir()) == ["arms", "index.html", "study.json"]
    assert sorted(path.stem for path in (out / "arms").iterdir()) == ["alone", "privileged", "taught"]
    result = strict((out / "study.json").read_text())
    assert result["header"] == result["header"] | TOLD | {"scenes": 6, "protocol": "stp3_vad"}
    assert [arm["done"] for arm in result["arms"]] == [True] * 3
    assert set(result["order"]) == {"taught", "privileged"} and len(result["verdicts"]) == 4
    assert result["curves"]["taught"].keys() == {"loss", "plan_loss", "l2_student", "l2_teacher"}
    assert "<title>Vector mode: A tiny study</title>" in page.read_text()


def test_what_is_finished_is_not_trained_again(finished, records, monkeypatch, capsys):
    out, _ = finished
    before = strict((out / "study.json").read_text())
    monkeypatch.setattr(training, "train", None)
    run.run(mini.plan(records), str(out), **TOLD)
    assert strict((out / "study.json").read_text()) == before
    said = capsys.readouterr().out
    assert "3 arms x 2 seeds x 4 steps of 2 windows" in said and "2 seeds an arm on 6 scenes detect" in said
    assert "all arms are done" in said and "measured, minus alone: " in said
    with pytest.raises(UserError, match=r"alone\.npz: this arm was trained with config\.train\.max_steps=4"):
        run.run(mini.plan(records, steps=5), str(out), **TOLD)


def test_a_signal_keeps_what_is_finished(finished, records, monkeypatch, capsys):
    out, _ = finished
    (out / "arms" / "taught.npz").unlink()
    monkeypatch.setattr(training, "train", lambda *_, **options: options["stop"].request(15))
    with pytest.raises(SystemExit) as ended:
        run.run(mini.plan(records), str(out), **TOLD)
    assert ended.value.code == 143
    said = capsys.readouterr().out
    assert "stopped by a signal; 2 of 3 arms are done. The same command goes on with the rest." in said
    assert "privileged: L2" in said and " min left for 1 arm" in said
    assert not (out / "study.lock").exists()


def test_a_folder_has_one_study_at_a_time(tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(run, "_run", lambda *_: None)
    monkeypatch.setattr(run.locks, "held", lambda *names: held.append(names) or contextlib.nullcontext())
    run.run(mini.plan(), str(tmp_path), **TOLD)
    assert held == [(tmp_path / "study.lock", str(tmp_path))]


def test_an_llm_and_a_situation_have_rows_of_their_own(finished, records, tmp_path, monkeypatch):
    out, _ = finished

    def train(config, *_, **options):
        known = arm_file.npz_file.read(arm_file.path_of(out, "alone"), arm_file.FORMAT, arm_file.VERSION)[0]
        llm = known["plans"] + 1.0 if config.teacher.enabled else None
        return training.Trained(known["plans"], {"loss": known["curve_loss"]}, llm, None)

    monkeypatch.setattr(training, "train", train)
    arms = (mini.plan().arms[0], mini.Arm("joint", "With an LLM."))
    listed = tmp_path / "tokens.json"
    listed.write_text(
        json.dumps({"format": FORMAT, "version": VERSION, "tokens": {"cut_in": Records(records, "val").samples[2:5]}})
    )
    situations = {"cut in": (f"{listed}:cut_in",)}
    page = run.run(mini.plan(records, arms=arms, situations=situations), str(tmp_path / "out"), **TOLD)
    result = strict((tmp_path / "out" / "study.json").read_text())
    for subset in ("all frames", "cut in"):
        rows = {name: one["l2_avg"]["value"] for name, one in result["scores"][subset].items()}
        assert rows["alone"] == rows["joint"] != rows["joint, LLM drives"]
    assert result["subsets"]["cut in"]["frames"] == 3 < result["subsets"]["all frames"]["frames"]
    assert result["differences"]["cut in"].keys() == {"joint", "joint, LLM drives"}
    assert "joint, LLM drives" in page.read_text()
    with pytest.raises(UserError, match=r"situations\['cut in'\]: 'three_point_turn': no scene of split 'val'"):
        run.run(mini.plan(records, situations={"cut in": ("three_point_turn",)}), str(tmp_path / "other"), **TOLD)


def test_what_is_left_is_told_by_kind():
    plan = mini.plan(arms=(*mini.plan().arms, mini.Arm("joint", "With an LLM.")))
    done = {"alone": run.Done(None, 120.0, "")}
    assert run.left(plan, done) == "about 4 min left for 2 arms, and 1 arm of a kind that is not timed yet"
    done["joint"] = run.Done(None, 600.0, "")
    assert run.left(plan, done) == "about 4 min left for 2 arms"


def test_facts_are_read_where_any_arm_learns_them(monkeypatch):
    monkeypatch.setattr(run.frames, "windows", lambda config, split: (None, config.auxiliary.facts))
    labels = mini.Arm("labels", "Facts without an LLM.", {**mini.ALONE, "auxiliary.facts": True})
    assert run.read(mini.plan(arms=mini.plan().arms[::2])).train is False
    assert run.read(mini.plan(arms=(*mini.plan().arms[::2], labels))).train is True


def test_a_signal_in_the_last_steps_keeps_the_arm_and_ends_the_study(finished, records, monkeypatch, capsys):
    out, _ = finished
    (out / "arms" / "taught.npz").unlink(missing_ok=True)
    real = training.train

    def train(*arguments, **options):
        found = real(*arguments, **options)
        options["stop"].request(15)
        return found

    monkeypatch.setattr(training, "train", train)
    with pytest.raises(SystemExit):
        run.run(mini.plan(records), str(out), **TOLD)
    assert "3 of 3 arms are done" in capsys.readouterr().out and (out / "arms" / "taught.npz").exists()
