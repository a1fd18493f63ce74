"""`python -m dima_jax.convert llama`: a Hugging Face folder or a GGUF file to the folder a config names.

    python -m dima_jax.convert llama --source=DIR_OR_FILE.gguf --out=DIR [--dtype=bfloat16]

Tensors are streamed one by one into their slots on disk, so that memory holds one and a little (of a GGUF file: the
mapped pages as well, which the system takes back); keys and shapes are checked before the first one is written.
"""

import shutil
from pathlib import Path

from dima_jax.convert import hf_llama, llm_folder, safetensors_files
from dima_jax.convert.gguf_llama import GgufLlama
from dima_jax.errors import UserError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def convert(source: str, out: str, dtype: str) -> dict:
    """Writes the folder and returns the sizes for `config.teacher.llm`. Raises UserError on anything unexpected."""
    path, folder = Path(source), Path(out)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        file = GgufLlama(path)
        sizes, shapes, tensors = file.sizes, file.shapes(), file.read()
    else:
        sizes = hf_llama.read_config(path)
        stored = safetensors_files.index(path)
        shapes = {key: tensor.shape for key, tensor in stored.items()}
        tensors = ((key, tensor.read()) for key, tensor in stored.items() if hf_llama.locate(key))
    places = hf_llama.check(shapes, llm_folder.shapes_of(sizes), source)
    writer = llm_folder.Writer(folder, sizes, dtype)
    if path.suffix == ".gguf":
        file.write_tokenizer(folder)
    else:
        for name in TOKENIZER_FILES:
            if (path / name).is_file():
                shutil.copyfile(path / name, folder / name)
    hf_llama.place(tensors, places, writer.write)
    writer.close()
    return sizes
