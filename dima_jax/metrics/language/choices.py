"""Multiple choice: which option an answer takes, however it says so.

Questions list options as "A. Going ahead. B. Stopped. C. Back up."; the recorded answer is a letter. "B", "(b)",
"B. Stopped.", "The correct answer is B" and "It has stopped." take B. An answer takes none if it names two letters, if
another option's text follows its letter, or if it names no letter and holds the text of none or of several options.
"""

import re

OPTION = re.compile(r"(?:^|(?<=\s))\(?([A-Z])[.):]\s+")
ALONE = re.compile(r"\W*([A-Za-z])\W*")  # the whole answer is a letter
NAMED = (
    re.compile(r"^[\s\"'*(\[]*([A-Z])[.):,\]*]"),  # "B. Stopped", "(B) Stopped", "**B**"
    re.compile(  # "the correct answer is B", "option (B)"; not "the answer is A car", where A is an article
        r"(?i:\b(?:answer|option|choice|choose|select|pick|statement)s?\b(?:\s+(?:is|would\s+be|should\s+be|option))?"
        r"\s*:?)[\s\"'*(\[]*([A-Z])\b(?!['’]|\s+[a-z])"
    ),
    re.compile(r"\b([A-Z])\s+is\s+(?:the\s+)?(?:correct|right|best|answer)\b"),
)
WORD = re.compile(r"[^\W_]+")


def options(question: str) -> dict[str, str]:
    """{letter: text} of the options that a question lists, A first and none left out; {} for fewer than two."""
    found: dict[str, tuple[int, int]] = {}
    for one in OPTION.finditer(question):
        if one[1] == chr(ord("A") + len(found)):
            found[one[1]] = one.span()
    if len(found) < 2:
        return {}
    ends = [*(start for start, _ in list(found.values())[1:]), len(question)]
    return {letter: question[begin:end].strip() for (letter, (_, begin)), end in zip(found.items(), ends, strict=True)}


def chosen(answer: str, choice: dict[str, str]) -> str | None:
    """The letter of the option that an answer takes; None if it takes none or not one alone. choice: `options`."""
    plain = {letter: _plain(text) for letter, text in choice.items()}
    after = _named(answer)
    letters = set(after) & set(choice)
    if not letters:
        held = {letter for letter, text in plain.items() if text.strip() and text in _plain(answer)}
        inner = {a for a in held for b in held if plain[a] != plain[b] and plain[a] in plain[b]}
        letters = held - inner
        return letters.pop() if len(letters) == 1 else None
    follows = {
        letter for letter, text in plain.items() for rest in after.values() if text.strip() and rest.startswith(text)
    }
    return next(iter(letters)) if len(letters) == 1 and (letters <= follows or not follows) else None


def _named(answer: str) -> dict[str, str]:
    """{letter that the answer names: the words after it}."""
    if alone := ALONE.fullmatch(answer):
        return {alone[1].upper(): ""}
    return {one[1]: _plain(answer[one.end(1) :]) for pattern in NAMED for one in pattern.finditer(answer)}


def _plain(text: str) -> str:
    """Lower case words with blanks around them."""
    return f" {' '.join(WORD.findall(text.lower()))} "
