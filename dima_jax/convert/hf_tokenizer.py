"""The tokenizer of a Hugging Face folder as `tokenizer.json` and `tokenizer_config.json`, which `data/prompts.py` reads.

A folder has tokenizer.json, or, as Vicuna's and LLaVA's own have it, tokenizer.model (SentencePiece), which is converted.
Tokens that were added later stand in other files: added_tokens.json, tokenizer_config.json, special_tokens_map.json.
"""

import json
from pathlib import Path

from dima_jax.errors import UserError
from dima_jax.output_files import json_text

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
FILES = (TOKENIZER, CONFIG)  # what is written
MOST_TOKENS = 2**31
NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")


def convert(folder: Path) -> dict[str, str]:
    """{name of a file to write: its text} from a folder; empty when the folder holds no tokenizer.

    Raises UserError for a tokenizer.model that cannot be converted, and for an added token whose id is not the next one.
    """
    config = _read_json(folder / CONFIG)
    special = _read_json(folder / "special_tokens_map.json")
    names = {name: special[name] for name in NAMES if special.get(name) and not config.get(name)}
    text = _tokenizer(folder, config)
    if text is None:
        return {}
    config |= names
    return {TOKENIZER: text} | ({CONFIG: json_text(config, indent=1)} if config else {})


def load(path: Path):
    """The `tokenizers.Tokenizer` of a tokenizer.json. Raises UserError when it is none."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except Exception as error:  # the package raises Exception itself
        raise UserError(f"{path}: is no tokenizer.json ({' '.join(str(error).split())}); fetch it again") from error


def is_tokenizer(path: Path) -> bool:
    """Whether a file is there and is a tokenizer.json."""
    try:
        load(path)
    except UserError:
        return False
    return True


def _tokenizer(folder: Path, config: dict) -> str | None:
    """The text of tokenizer.json, with the folder's added tokens."""
    whole, model = folder / TOKENIZER, folder / "tokenizer.model"
    if whole.is_file():
        if not is_tokenizer(whole):
            return None  # a model can be had without its tokenizer
        tokenizer = load(whole)
    elif model.is_file():
        from dima_jax.convert import spm_tokenizer

        tokenizer = spm_tokenizer.read(model, prefix=config.get("add_prefix_space") is not False)
    else:
        return None
    if not _add_tokens(tokenizer, _added(folder, config), folder) and whole.is_file():
        return whole.read_text()
    return tokenizer.to_str()


def _added(folder: Path, config: dict) -> dict[int, tuple[str, bool]]:
    """{id: (text, whether it is a control token)} of the tokens that the folder's files add."""
    tokens = {}
    for text, i in _read_json(folder / "added_tokens.json").items():
        _check_token(text, i, folder)
        if i in tokens:
            raise UserError(f"{folder / 'added_tokens.json'}: {tokens[i][0]!r} and {text!r} have the same id {i}")
        tokens[i] = (text, True)
    try:
        for i, token in (config.get("added_tokens_decoder") or {}).items():
            tokens[int(i)] = (token["content"], bool(token.get("special")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / CONFIG}: its added_tokens_decoder is not a table of ids and tokens") from error
    for i, (text, _) in tokens.items():
        _check_token(text, i, folder)
    return dict(sorted(tokens.items()))


def _check_token(text, i, folder: Path) -> None:
    if type(i) is not int or not 0 <= i < MOST_TOKENS or not isinstance(text, str) or not text:
        raise UserError(
            f"{folder}: the added token {text!r} has id {i!r}; added_tokens.json is a table of tokens and ids"
        )


def _add_tokens(tokenizer, tokens: dict[int, tuple[str, bool]], folder: Path) -> bool:
    """Adds the tokens that the tokenizer does not have yet; whether there was one."""
    from tokenizers import AddedToken

    changed = False
    for i, (text, special) in tokens.items():
        if tokenizer.id_to_token(i) == text:
            continue
        size = tokenizer.get_vocab_size()
        if i != size or tokenizer.token_to_id(text) is not None:
            raise UserError(
                f"{folder}: the added token {text!r} has id {i}, but its tokenizer has {size} tokens"
                f" and {tokenizer.id_to_token(i)!r} there; the files are of different models"
            )
        tokenizer.add_tokens([AddedToken(text, special=special, normalized=False)])
        changed = True
    return changed


def _read_json(path: Path) -> dict:
    """A JSON object; empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: is not a JSON object; fetch it again")
    return found
