"""`python -m dima_jax.convert llama`: a Hugging Face folder or a GGUF file to the folder that `teacher.weights` names.

    python -m dima_jax.convert llama --source=DIR_OR_FILE.gguf --out=DIR [--dtype=bfloat16]

Tensors are streamed one by one to their place on disk, so that memory holds one and a little (of a GGUF file: the mapped
pages as well, which the system takes back); keys and shapes are checked before the first one is read.
"""

from pathlib import Path

from dima_jax.convert import llm_folder, rules
from dima_jax.convert.gguf_llama import GgufLlama
from dima_jax.convert.hf_llama import HuggingFaceLlama


def convert_llama(source: str | Path, out: str | Path, dtype: str) -> dict:
    """Writes the folder `out` and returns the sizes for `config.teacher.llm`.

    dtype: of the matrices on disk; norms stay float32. Raises UserError for a source that is no plain LLaMA, or whose
    keys or shapes are not exactly those of its sizes.
    """
    source, out = Path(source), Path(out)
    llama = GgufLlama(source) if source.suffix == ".gguf" else HuggingFaceLlama(source)
    assignments = rules.assign(llama.rules, llama.ignored, llama.shapes, llm_folder.shapes_of(llama.sizes))
    writer = llm_folder.Writer(out, llama.sizes, dtype)
    llama.write_tokenizer(out)
    rules.transfer(assignments, llama.read, writer.write)
    writer.close()
    return llama.sizes
