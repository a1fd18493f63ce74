"""Imports weights made elsewhere, strictly: every tensor is accounted for, or the command says which is not.

python -m dima_jax.convert llama --source=DIR_OR_FILE.gguf --out=DIR [--dtype=bfloat16]
"""

import sys

from absl import flags

from dima_jax import entry
from dima_jax.convert import llama_command
from dima_jax.errors import UserError

SOURCE = flags.DEFINE_string("source", None, "llama: folder of a Hugging Face LLaMA or LLaVA-v1.5, or a .gguf file.")
OUT = flags.DEFINE_string("out", None, "Folder to write.")
DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "llama: dtype of the matrices on disk.")


def main() -> None:
    command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    if command not in COMMANDS:
        raise UserError(f"python -m dima_jax.convert {command or '?'}: say one of {', '.join(COMMANDS)}")
    if not SOURCE.value or not OUT.value:
        raise UserError(f"python -m dima_jax.convert {command}: needs --source and --out")
    COMMANDS[command]()


def llama() -> None:
    sizes = llama_command.convert(SOURCE.value, OUT.value, DTYPE.value)
    print(f"wrote {OUT.value}; in the config set")
    print(f'    config.teacher.weights = "{OUT.value}"')
    print(f'    config.teacher.tokenizer = "{OUT.value}"')
    print(f"    config.teacher.llm.update({', '.join(f'{name}={value}' for name, value in sizes.items())})")


COMMANDS = {"llama": llama}

if __name__ == "__main__":
    entry.run(main)
