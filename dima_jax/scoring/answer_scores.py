"""Scores of answers to questions about scenes: DriveLM's own, and those of each kind of question, with intervals.

Intervals are percentiles of 1,000 resamples of whole scenes, fixed seed; of fewer than `FEWEST_SCENES` scenes, frames
are drawn instead, and the intervals are then too narrow, since frames of a scene resemble each other. Two files of
answers to the same questions are compared on the same draws.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.constants import QUESTION_KINDS
from dima_jax.metrics.bootstrap import PERCENTILES
from dima_jax.metrics.language import captions, choices, coordinates, drivelm, yes_no
from dima_jax.metrics.language.measure import Measure, mean
from dima_jax.scoring.answer_files import Question
from dima_jax.scoring.statistics import RESAMPLES, draws

FEWEST_SCENES = 5  # that are drawn; of fewer, frames
FEWEST_UNITS = 2  # scenes or frames with such questions, for an interval
BETTER, WORSE, UNDECIDED, TOO_FEW = "better_with_images", "worse_with_images", "undecided", "too_few"
SMALLEST = 1e-12  # what rounding leaves of a difference that is 0


class Given(NamedTuple):
    """Answers to n questions. tokens: `captions.tokenize` of them, None where BLEU and the like cannot be computed.
    grades: a judge's, in [0, 1], None without one.
    """

    answers: Sequence[str]
    tokens: Sequence[str] | None
    grades: Float[np.ndarray, " n"] | None


class Asked(NamedTuple):
    """What the recorded answers ask for. letters: of the right option, None where there are no options; said: yes or no,
    None of other questions; free: neither.
    """

    options: Sequence[dict[str, str]]
    letters: Sequence[str | None]
    said: Sequence[bool | None]
    free: Bool[np.ndarray, " n"]


class Units(NamedTuple):
    """What is resampled. kind: "scenes" or "frames"; of: the unit of each question; times: draws of each unit."""

    kind: str
    of: Int[np.ndarray, " n"]
    times: Int[np.ndarray, "B units"]


def units(questions: Sequence[Question]) -> Units:
    """Scenes, or frames where the scenes are too few."""
    scenes = [one.scene for one in questions]
    kind = "scenes" if len(set(scenes)) >= FEWEST_SCENES else "frames"
    names = scenes if kind == "scenes" else [f"{one.scene}_{one.frame}" for one in questions]
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    return Units(kind, np.array([number[name] for name in names]), draws(len(number), RESAMPLES))


def asked(questions: Sequence[Question]) -> Asked:
    """Which questions are multiple choice and which are answered with yes or no, by what was recorded."""
    options = [choices.options(one.question) for one in questions]
    letters = [
        choices.chosen(one.truth, choice) if choice else None for one, choice in zip(questions, options, strict=True)
    ]
    said = [
        yes_no.recorded(one.truth) if letter is None else None for one, letter in zip(questions, letters, strict=True)
    ]
    free = [letter is None and word is None for letter, word in zip(letters, said, strict=True)]
    return Asked(options, letters, said, np.array(free))


def measures(
    questions: Sequence[Question],
    what: Asked,
    given: Given,
    recorded: Sequence[str] | None,
    inside: Bool[np.ndarray, " n"],
) -> dict[str, Measure]:
    """The measures of the questions in `inside`, by name, those of which no question counts included.

    exact: word for word as recorded. choice, yes_no: the right option, the right word; ..._given: any at all.
    coordinates: F1 of the points, of questions whose recorded answer names some. bleu_1 ... cider: of questions that are
    neither multiple choice nor yes or no, only with tokens. judge: mean grade. recorded: tokens of the recorded answers.
    """
    answers, truths = given.answers, [one.truth for one in questions]
    took = [choices.chosen(answer, choice) for answer, choice in zip(answers, what.options, strict=True)]
    said = [yes_no.said(answer) for answer in answers]
    is_choice = inside & np.array([letter is not None for letter in what.letters])
    is_yes_no = inside & np.array([word is not None for word in what.said])
    has_points = inside & np.array([bool(coordinates.points(truth)) for truth in truths])
    f1 = [coordinates.match(*pair)[1] if has else 0.0 for *pair, has in zip(answers, truths, has_points, strict=True)]
    found = {
        "exact": mean(_shares(answers, truths), inside),
        "choice": mean(_shares(took, what.letters), is_choice),
        "choice_given": mean(np.array([letter is not None for letter in took], float), is_choice),
        "yes_no": mean(_shares(said, what.said), is_yes_no),
        "yes_no_given": mean(np.array([word is not None for word in said], float), is_yes_no),
        "coordinates": mean(np.array(f1), has_points),
    }
    if given.tokens is not None and recorded is not None:
        found |= captions.measures(given.tokens, recorded, inside & what.free)
    if given.grades is not None:
        found["judge"] = mean(given.grades, inside)
    return found


def of_drivelm(
    questions: Sequence[Question], given: Given, recorded: Sequence[str] | None
) -> tuple[dict[str, Measure], int] | None:
    """(DriveLM's own measures, how many questions its rule leaves out); None if the questions have no tags.

    accuracy, match (F1 in [0, 1]), bleu_1 ... cider as in `metrics.language.drivelm`; judge: mean grade of the questions
    that GPT grades there.
    """
    if any(one.tags is None for one in questions):
        return None
    texts, truths = [one.question for one in questions], [one.truth for one in questions]
    frames = [(one.scene, one.frame) for one in questions]
    first = [i == 0 or frames[i] != frames[i - 1] for i in range(len(frames))]
    entering = drivelm.entering(texts, first, given.answers, truths)

    def tagged(tag: int) -> Bool[np.ndarray, " n"]:
        return entering & np.array([tag in (one.tags or ()) for one in questions])

    f1 = [coordinates.match(*pair)[1] for pair in zip(given.answers, truths, strict=True)]
    found = {
        "accuracy": mean(_shares(given.answers, truths), tagged(drivelm.ACCURACY)),
        "match": mean(np.array(f1), tagged(drivelm.MATCH)),
    }
    if given.tokens is not None and recorded is not None:
        found |= captions.measures(given.tokens, recorded, tagged(drivelm.LANGUAGE))
    if given.grades is not None:
        found["judge"] = mean(given.grades, tagged(drivelm.CHATGPT))
    return found, int((~entering).sum())


def estimate(measure: Measure, of: Units) -> dict[str, Any]:
    """{"value", "low", "high", "questions"}; value None without a question, low and high for fewer than two units."""
    value, resampled = _resampled(measure, of)
    return {"value": value, **_interval(measure, resampled, of), "questions": int(measure.counts.sum())}


def difference(a: Measure, b: Measure, of: Units) -> dict[str, Any]:
    """Of a minus b, on the same questions: {"difference", "low", "high", "questions", "verdict"}."""
    (first, of_first), (second, of_second) = _resampled(a, of), _resampled(b, of)
    ends = _interval(a, of_first - of_second, of)
    by = None if first is None or second is None else first - second
    if ends["low"] is None:
        verdict = TOO_FEW
    elif ends["low"] > SMALLEST or ends["high"] < -SMALLEST:
        verdict = BETTER if ends["low"] > SMALLEST else WORSE
    else:
        verdict = UNDECIDED
    return {"difference": by, **ends, "questions": int(a.counts.sum()), "verdict": verdict}


def groups(questions: Sequence[Question]) -> dict[str, Bool[np.ndarray, " n"]]:
    """{"all" or a kind of question: which are of it}, without kinds that no question is of."""
    kinds = np.array([one.kind for one in questions])
    found = {"all": np.ones(len(questions), bool)} | {kind: kinds == kind for kind in QUESTION_KINDS}
    return {name: mask for name, mask in found.items() if mask.any()}


def score(
    questions: Sequence[Question], given: Given, blank: Given | None, recorded: Sequence[str] | None
) -> dict[str, Any]:
    """{"resampled", "resamples", "drivelm", "groups"[, "blank"]}: docs/scores/language.md. blank: the answers of the
    same model when it saw black images; their differences are `given` minus `blank`. recorded: tokenized, or None.
    """
    of, what = units(questions), asked(questions)
    result: dict[str, Any] = {"resampled": of.kind, "units": of.times.shape[1], "resamples": RESAMPLES}
    own = of_drivelm(questions, given, recorded)
    if own is None:
        result["drivelm"] = {"available": False, "why_not": "needs --truth with DriveLM's 'tag' of each question"}
    else:
        scores = {name: estimate(measure, of) for name, measure in own[0].items()}
        result["drivelm"] = {"available": True, "why_not": None, "left_out": own[1], "scores": scores}
    result["groups"], differences = {}, {}
    for name, inside in groups(questions).items():
        found = measures(questions, what, given, recorded, inside)
        result["groups"][name] = {key: estimate(one, of) for key, one in found.items() if one.counts.any()}
        if blank is not None:
            other = measures(questions, what, blank, recorded, inside)
            differences[name] = {
                key: {"blank": estimate(other[key], of)["value"], **difference(one, other[key], of)}
                for key, one in found.items()
                if one.counts.any()
            }
    if blank is not None:
        same = _shares(given.answers, blank.answers)
        unchanged = estimate(mean(same, np.ones(len(same), bool)), of)
        result["blank"] = {"unchanged": unchanged, "differences": differences}
    return result


def _shares(first: Sequence, second: Sequence) -> Float[np.ndarray, " n"]:
    return np.array([a == b for a, b in zip(first, second, strict=True)], float)


def _resampled(measure: Measure, of: Units) -> tuple[float | None, Float[np.ndarray, " B"]]:
    """(the score, of each resample; NaN where no question counts)."""
    number = of.times.shape[1]
    sums, counts = np.zeros((number, measure.sums.shape[1])), np.bincount(of.of, measure.counts, number)
    np.add.at(sums, of.of, measure.sums)
    value = measure.value if counts.any() else None
    return value, np.where(of.times @ counts > 0, measure.reduce(of.times @ sums), np.nan)


def _interval(measure: Measure, resampled: Float[np.ndarray, " B"], of: Units) -> dict[str, float | None]:
    """Resamples without such a question are left out."""
    if len(np.unique(of.of[measure.counts])) < FEWEST_UNITS:
        return {"low": None, "high": None}
    low, high = np.percentile(resampled[~np.isnan(resampled)], PERCENTILES)
    return {"low": float(low), "high": float(high)}
