"""Lists of sample tokens by name, as `data_prep.mine` writes them: groups of frames to score one by one.

JSON: {"format": "dima_jax.tokens", "version": 1, "tokens": {name: [sample tokens]}}; what else it says is not read here.
"""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from dima_jax.errors import UserError
from dima_jax.scoring.recorded import Truth

FORMAT, VERSION = "dima_jax.tokens", 1
REMEDY = "write it with `python -m data_prep.mine`"


def masks(path: str | Path, truth: Truth) -> dict[str, Bool[np.ndarray, " N"]]:
    """{name: which frames of the truth are in its list}. Tokens of other frames are passed over.

    UserError for a file that is not one, and for one all of whose tokens are of other frames.
    """
    lists = read(path)
    found = {name: np.isin(truth.tokens, tokens) for name, tokens in lists.items()}
    if any(lists.values()) and not any(mask.any() for mask in found.values()):
        raise UserError(f"{path}: none of its tokens is in the truth; {REMEDY} from the same split")
    return found


def read(path: str | Path) -> dict[str, list[str]]:
    """{name: tokens} of a file. UserError for one that is absent, or no file of token lists."""
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {REMEDY}") from None
    except ValueError:
        raise UserError(f"{path}: no JSON; {REMEDY}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: no token lists; {REMEDY}")
    if content.get("version") != VERSION:
        raise UserError(f"{path}: is of version {content.get('version')!s:.20}, not {VERSION}; {REMEDY}")
    lists = content.get("tokens")
    if not isinstance(lists, dict) or not all(_is_list_of_texts(tokens) for tokens in lists.values()):
        raise UserError(f'{path}: "tokens" is no {{name: [tokens]}}; {REMEDY}')
    return lists


def _is_list_of_texts(tokens: object) -> bool:
    return isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
