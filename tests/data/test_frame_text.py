"""Which questions a frame's text has: those that tell most first, the same in every frame, whatever else fits."""

import numpy as np
import pytest

from dima_jax.data import frame_text
from dima_jax.data.prompts import ByteTokenizer
from dima_jax.data.records import Records

TOKENIZER = ByteTokenizer()
ASKED = "What is the moving status of object c1 (23 m ahead, 3 m right)?"


def record(*pairs):
    return {
        "qa": {"questions": [q for q, _ in pairs], "answers": [a for _, a in pairs]},
        "agents": no_agents(),
        "ego": ego(),
    }


def no_agents():
    names = ("num_lidar_pts", "num_radar_pts")
    return {"boxes": np.zeros((0, 9)), "categories": [], **dict.fromkeys(names, np.zeros(0))}


def ego():
    return {"command": 0, "future_offsets": np.zeros((6, 2)), "future_mask": np.zeros(6, bool)}


def said(tokens):
    return TOKENIZER.decode(tokens.tokens[tokens.mask])


def order_of(*records):
    return frame_text.question_order([frame_text.asked_of(one) for one in records], TOKENIZER)


def test_what_tells_most_for_its_tokens_is_first():
    frames = [
        record(
            ("Always?", "Yes."),
            ("Which one is it, of all of them?", f"{i}."),
            ("Which?", f"{i}."),
            ("Left?", ["Yes.", "No."][i % 2]),
        )
        for i in range(8)
    ]
    assert list(order_of(*frames)) == ["which?", "which one is it, of all of them?", "left?", "always?"]


def test_not_to_be_asked_is_an_answer():
    frames = [record(("Who?", "A."), *([("Now?", "Yes.")] if i % 2 else [])) for i in range(4)]
    assert list(order_of(*frames)) == ["now?", "who?"]


def test_an_object_is_its_number_wherever_it_is():
    other = ASKED.replace("23 m ahead", "7 m behind")
    order = order_of(record((ASKED, "Stopped.")), record((other, "Going.")))
    assert order == {"what is the moving status of object c1?": 0}


def test_takes_in_order_what_fits():
    pairs = [("A?", "1."), ("B" * 80 + "?", "2."), ("C?", "3."), ("New?", "4.")]
    order = {"c?": 0, "b" * 80 + "?": 1, "a?": 2}
    found = frame_text.text_of(record(*pairs), order, TOKENIZER, 64)
    assert said(found) == "USER: C? ASSISTANT: 3.USER: A? ASSISTANT: 1." and found.cut == 0
    ids = found.tokens[found.mask].tolist()
    assert ids[0] == TOKENIZER.bos and ids[-1] == TOKENIZER.eos and ids.count(TOKENIZER.eos) == 2
    assert not found.tokens[~found.mask].any() and found.tokens.shape == (64,)


def test_the_first_is_cut_where_nothing_fits():
    found = frame_text.text_of(record(("A?", "1."), ("B?", "2.")), {"b?": 0, "a?": 1}, TOKENIZER, 9)
    assert said(found) == "USER: B?" and found.mask.all() and found.cut == 15


def test_a_frame_without_questions_is_asked_by_rule():
    assert frame_text.pairs_of(record())[0] == ("What will the ego vehicle do?", "It turns right.")


@pytest.mark.parametrize(("counts", "bits"), [([4], 0.0), ([1, 1], 1.0), ([2, 1, 1, 0], 1.5)])
def test_entropy_is_in_bits(counts, bits):
    assert frame_text.entropy(counts) == pytest.approx(bits)


def test_a_split_has_one_order_whoever_reads_it(joint_run):
    records = Records(joint_run.config.data.path, "train")
    texts = frame_text.FrameTexts(records, TOKENIZER, 200)
    asked = [frame_text.asked_of(records.decode(i, frame_text.FIELDS)) for i in range(len(records))]
    assert texts.order == frame_text.question_order(asked, TOKENIZER)
    every = [said(texts.tokens(number)) for number in range(len(records))]
    assert sum("What should the ego vehicle do? ASSISTANT: Keep going at the same speed." in one for one in every) == 1
    assert len(set(every)) > 1 and all(one.startswith("USER: ") for one in every)
