"""Which questions enter DriveLM's scores."""

from dima_jax.metrics.language import drivelm

TRUTH = "<c1,CAM_BACK,100.0,200.0> and <c2,CAM_FRONT,300.0,400.0>"


def entering(first_answer):
    questions = ["Which?", "Is <c1,CAM_BACK,100.0,200.0> slow?", "Does 300.0,400.0 see 100.0,200.0?", "What now?"]
    return drivelm.entering(
        questions, [True, False, False, False], [first_answer, "", "", ""], [TRUTH, "a", "b", "c"]
    ).tolist()


def test_who_did_not_see_an_object_is_not_asked_about_it():
    assert entering("101.0,201.0 and 300.0,400.0") == [True, True, True, True]  # the graph holds recorded points
    assert entering("<c1,CAM_BACK,100.0,200.0>") == [True, True, False, True]
    assert entering("nothing") == [True, False, False, True]


def test_each_frame_has_its_own_graph():
    question = "Is <c1,CAM_BACK,100.0,200.0> slow?"
    found = drivelm.entering(
        ["Which?", question, "Which?", question], [True, False] * 2, [TRUTH, "", "none", ""], [TRUTH, "", TRUTH, ""]
    )
    assert found.tolist() == [True, True, True, False]
