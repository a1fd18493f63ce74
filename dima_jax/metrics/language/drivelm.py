"""What enters DriveLM's scores, by the rule of its challenge.

The first question of a key frame asks for the important objects. The points of the recorded answer that the given one
names (`coordinates.match`) are the frame's graph. A later question enters only if every point in it is one of them: who
did not see an object is not asked about it. Which score a question enters says its `tag` in DriveLM's file: 0 accuracy,
1 the one that asks GPT, 2 language, 3 match.

* accuracy: share of answers that equal the recorded ones, character by character: "A. Stopped." is not "A".
* match: mean F1 of the points. DriveLM prints the mean of 100 F1 and GPT's grade.
* language: BLEU-1 to 4, ROUGE-L, CIDEr (`captions`).

Source: OpenDriveLab/DriveLM, challenge/evaluation.py.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from dima_jax.metrics.language import coordinates

ACCURACY, CHATGPT, LANGUAGE, MATCH = range(4)  # tags


def entering(
    questions: Sequence[str], is_first: Sequence[bool], answers: Sequence[str], truths: Sequence[str]
) -> Bool[np.ndarray, " n"]:
    """Which questions enter the scores. Frames one after the other, is_first: of the first question of each."""
    graph: list[coordinates.Point] = []
    result = np.ones(len(questions), bool)
    for i, (question, first, answer, truth) in enumerate(zip(questions, is_first, answers, truths, strict=True)):
        if first:
            graph, _ = coordinates.match(answer, truth)
        else:
            result[i] = all(point in graph for point in coordinates.points(question))
    return result
