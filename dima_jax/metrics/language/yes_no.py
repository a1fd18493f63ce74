"""Questions that are answered with yes or no."""

import re

RECORDED = re.compile(r"\W*(yes|no)\s*([^\w\s]|$)", re.IGNORECASE)  # "No." but not "No such action is known."
WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


def recorded(truth: str) -> bool | None:
    """What a recorded answer says if its first word, set off from the rest, is yes or no; else None: another question."""
    found = RECORDED.match(truth)
    return None if found is None else found[1].lower() == "yes"


def said(answer: str) -> bool | None:
    """The first yes or no in an answer; None if it says neither, which is wrong whatever was asked."""
    found = WORD.search(answer)
    return None if found is None else found[1].lower() == "yes"
