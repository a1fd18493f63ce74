"""`python -m dima_jax.convert llama`: a Hugging Face folder or a GGUF file to the folder that `teacher.weights` names.

    python -m dima_jax.convert llama --source=DIR_OR_FILE.gguf --out=DIR [--dtype=bfloat16]

Tensors are streamed one by one to their place on disk, so that memory holds one and a little (of a GGUF file: the mapped
pages as well, which the system takes back); keys, shapes and the tokenizer are checked before the first one is read.
"""

from pathlib import Path

import numpy as np

from dima_jax.convert import llm_folder, rules
from dima_jax.convert.gguf_llama import GgufLlama
from dima_jax.convert.hf_llama import HuggingFaceLlama
from dima_jax.errors import UserError

ROWS = 1024  # of two tables that are compared at once


def convert_llama(source: str | Path, out: str | Path, dtype: str) -> dict:
    """Writes the folder `out`, in place of an earlier conversion, and returns the sizes for `config.teacher.llm`.

    dtype: of the matrices on disk; norms stay float32. What fails leaves no folder behind. Raises UserError for a source
    that is no LLaMA, or whose keys or shapes are not exactly those of its sizes, and for an `out` that holds other things.
    """
    source, out = Path(source), Path(out)
    if out.resolve() == source.resolve():
        raise UserError(f"--out={out} is --source; give another folder")
    llm_folder.check_out(out)
    llama = GgufLlama(source) if source.suffix == ".gguf" else HuggingFaceLlama(source)
    layers, tensors = llama.sizes["layers"], _without_equal_head(llama, source)
    if layers > len(tensors):
        raise UserError(f"{source}: is said to have {layers} layers, and holds {len(tensors)} tensors; fetch it again")
    with rules.naming(source):
        assignments = rules.assign(llama.rules, llama.ignored, tensors, llm_folder.shapes_of(llama.sizes))
    files = llama.tokenizer_files(out)
    try:
        llm_folder.clear(out)
        writer = llm_folder.Writer(out, llama.sizes, dtype, llama.window)
        for name, text in files.items():
            (out / name).write_text(text)
        with rules.naming(source):
            rules.transfer(assignments, llama.read, writer.write)
        writer.close()
    except BaseException as error:
        llm_folder.clear(out)
        if isinstance(error, OSError):
            raise UserError(f"{error.filename or out}: {error.strerror}; nothing was written") from error
        raise
    return llama.sizes


def _without_equal_head(llama: HuggingFaceLlama | GgufLlama, source: Path) -> dict[str, rules.Shape]:
    """{key: shape}, less the output head of a tied model, which some tools write beside the embedding that it is.

    Raises UserError if the two differ.
    """
    shapes = dict(llama.shapes)
    keys = {path: rule.key for rule in llama.rules for path in rule.paths}
    embedding, head = keys["embed/table"], keys["head/table"]
    if not llama.sizes["tied"] or head not in shapes or embedding not in shapes:
        return shapes
    if shapes.pop(head) != shapes[embedding] or not _equal(llama.read(embedding), llama.read(head)):
        raise UserError(
            f"{source}: its config ties the output head to the embedding, but {head} is not {embedding}; "
            "if the head was trained on its own, say tie_word_embeddings: false in config.json"
        )
    return shapes


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    blocks = (slice(start, start + ROWS) for start in range(0, len(first), ROWS))
    return all(
        np.array_equal(first[rows].astype(np.float32), second[rows].astype(np.float32), equal_nan=True)
        for rows in blocks
    )
