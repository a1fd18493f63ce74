"""Which option an answer takes."""

import pytest

from dima_jax.metrics.language import choices

QUESTION = (
    "What is the moving status of object <c1,CAM_BACK,1088.3,497.5>? Please select the correct answer from the following "
    "options: A. Going ahead. B. Stopped. C. Back up. D. Stopped at a light."
)
TEXTS = {"A": "Going ahead.", "B": "Stopped.", "C": "Back up.", "D": "Stopped at a light."}


def test_options_are_read_in_order():
    assert choices.options(QUESTION) == TEXTS
    assert choices.options("Which? (A) The ego is slow. It turns. (B) It stands.") == {
        "A": "The ego is slow. It turns.",
        "B": "It stands.",
    }
    assert choices.options("Is it plan B. or not?") == choices.options("A. alone") == choices.options("") == {}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("C", "C"),
        ("c", "C"),
        ("(C).", "C"),
        ("**C**", "C"),
        ("C. Back up.", "C"),
        ("C) because it is going ahead of nothing", "C"),
        ("The correct answer is A", "A"),
        ("The correct answer is A.", "A"),
        ("The correct answer is: A. Going ahead.", "A"),
        ("I would choose option (B)!", "B"),
        ("Answer: B", "B"),
        ("B is the correct answer", "B"),
        ('The moving status of object <c1,CAM_BACK,1088.3,497.5> is "Back up."', "C"),
        ("It stopped at a light", "D"),  # and not B, whose text is a part of it
        ("", None),
        ("E", None),
        ("It turns left.", None),
        ("The answer is A car is going away", None),
        ("Going ahead or back up", None),
        ("The correct answer is A. Or option B.", None),
        ("A. Stopped.", None),  # the letter of one option, the text of another
        ("A car.", None),
    ],
)
def test_what_counts(answer, letter):
    assert choices.chosen(answer, TEXTS) == letter
