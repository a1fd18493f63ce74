"""Facts are what the answers say, and no more: of the questions that a teacher may be asked, with objects by number."""

import numpy as np
import pytest

from data_prep.miniworld.drivelm.facts import Light
from data_prep.miniworld.drivelm.words import by_place, tag
from dima_jax.constants import NUM_FACTS
from dima_jax.data import facts
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.errors import UserError
from tests.data.test_questions import record
from tests.data.test_targets import agents

STATUS = "What is the status of {}?"
LIGHT = Light("light", "red", "CAM_FRONT", (10.0, 20.0, 30.0, 40.0), (12.4, -3.0), True)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("<c2,CAM_BACK_LEFT,1.5,2.5>", {"CAM_BACK_LEFT"}),
        ("c2 (12 m behind, 3 m left)", {"behind", "left", "within 20 m"}),
    ],
)
def test_objects_are_named_by_number_and_their_place_is_a_fact(name, place):
    said = facts.of_pairs([(STATUS.format(name), "Moving."), ("Why?", f"Because {name} moves, and it is near.")])
    assert said == {
        "where is c2?": place,
        "what is the status of c2?": {"moving"},
        "why?": {"because c2 moves", "it is near"},
    }


def test_the_names_that_the_mini_world_writes_are_known():
    assert by_place(1, LIGHT) == "c1 (12 m ahead, 3 m right)"
    for name in (by_place(1, LIGHT), tag(1, LIGHT)):
        assert set(facts.of_pairs([(f"Where is {name}?", "There.")])) == {"where is c1?"}


def test_an_answer_is_the_set_of_its_phrases():
    answer = "There are two cars, one truck, and one bus behind the ego car. Slow down and go ahead."
    assert facts.of_pairs([("Q?", answer)])["q?"] == {
        *("there are two cars", "one truck", "one bus behind the ego car", "slow down", "go ahead")
    }


def test_what_varies_most_comes_first_and_what_never_varies_is_left_out():
    frames = [
        {"always?": {"yes"}, "half?": {"left"} if i % 2 else {"right"}, "one?": {"a"} if i else {"b"}} for i in range(8)
    ]
    frames += [{"always?": {"yes"}}] * 2
    chosen = facts.choose(frames)
    assert chosen == (
        *(facts.Fact("half?", phrase, 8, 4) for phrase in ("left", "right")),
        *(facts.Fact("one?", phrase, 8, held) for phrase, held in (("a", 7), ("b", 1))),
    )
    many = [{"which?": {f"{i:03d}"}} for i in range(700)]
    assert facts.choose(many) == ()  # each is said in less than LEAST of the frames
    assert len(facts.choose([{"which?": {f"{k}" for k in range(600) if (k + i) % 2}} for i in range(4)])) == NUM_FACTS


def test_labels_of_a_frame():
    chosen = (facts.Fact("a?", "yes", 9, 4), facts.Fact("a?", "no", 9, 5), facts.Fact("b?", "yes", 9, 4))
    labels = facts.targets(chosen, {"a?": {"no", "perhaps"}})
    assert labels.known.shape == labels.holds.shape == (NUM_FACTS,)
    np.testing.assert_array_equal(labels.known[:4], [True, True, False, False])
    np.testing.assert_array_equal(labels.holds[:4], [False, True, False, False])
    assert not labels.known[3:].any() and not labels.holds[3:].any()


def test_only_what_a_teacher_may_be_asked_counts():
    qa = [("planning", "Short?", "Yes."), ("planning", "Long?", "No, " * 30)]
    frame = record(agents([(0, 10.0)], ["vehicle.car"]), qa)
    assert facts.said(frame, ByteTokenizer(), 100) == {"short?": {"yes"}}
    assert set(facts.said(frame, ByteTokenizer(), 1000)) == {"short?", "long?"}
    by_rule = facts.said(record(agents([(0, 10.0)], ["vehicle.car"])), ByteTokenizer(), 1000)
    assert by_rule["where is the nearest car?"] == {"ahead", "10 meters away"}


def test_facts_of_records(config):
    config.data.max_text = 256
    chosen = facts.of_training(config)
    assert 0 < len(chosen) <= NUM_FACTS
    assert all(0 < fact.held < fact.asked for fact in chosen)
    config.data.max_text = 10
    with pytest.raises(
        UserError, match=r"config\.auxiliary\.facts=True: no answer of split 'train' of .* does not say in"
    ):
        facts.of_training(config)
