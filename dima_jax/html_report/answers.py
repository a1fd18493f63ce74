"""A teacher's answers by frame, of a file that `python -m dima_jax.ask --out` or another model's code writes."""

from dima_jax.scoring import answer_files


def by_frame(path: str) -> dict[str, list[dict[str, str]]]:
    """{frame token: its entries}, with "id", "question" and "answer", and "gt_answer" where the file has it.

    UserError for a file that is none (`scoring.answer_files`). The frame is the middle part of an id,
    "<scene>_<frame>_<number>"; entries with other ids are of no frame.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for key, row in answer_files.read_answers(path).rows.items():
        parts = key.rsplit("_", 2)
        if len(parts) == 3:
            found.setdefault(parts[1], []).append({"id": key, "question": "", **row})
    return found
