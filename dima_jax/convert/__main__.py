"""Imports weights made elsewhere, strictly: every tensor is accounted for, or the command says which is not.

python -m dima_jax.convert llama --source=DIR_OR_FILE.gguf --out=DIR [--dtype=bfloat16]
python -m dima_jax.convert vad --config=configs/vad_tiny.py --checkpoint=VAD_tiny.pth --out=runs/vad_tiny_released
python -m dima_jax.convert resnet --checkpoint=resnet50.pth --out=weights/resnet50
"""

from absl import flags

from dima_jax import cli
from dima_jax.convert import llama_command, vad_command
from dima_jax.errors import UserError

SOURCE = flags.DEFINE_string("source", None, "llama: folder of a Hugging Face LLaMA or LLaVA-v1.5, or a .gguf file.")
CHECKPOINT = flags.DEFINE_string("checkpoint", None, "vad, resnet: the .pth file.")
OUT = flags.DEFINE_string("out", None, "Folder to write.")
DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "llama: dtype of the matrices on disk.")
CONFIG = cli.define_config("configs/base.py")
IMAGES = flags.DEFINE_enum(
    "images",
    "released",
    ["released", "config"],
    "vad: how the weights want their images: as the released ones (BGR, mean 103.53/116.28/123.675, std 1) or as the config.",
)


def main(command: str | None) -> None:
    if command not in COMMANDS:
        raise UserError(f"python -m dima_jax.convert {command or '?'}: say one of {', '.join(COMMANDS)}")
    needed = SOURCE if command == "llama" else CHECKPOINT
    if not needed.value or not OUT.value:
        raise UserError(f"python -m dima_jax.convert {command}: needs --{needed.name} and --out")
    COMMANDS[command]()


def llama() -> None:
    sizes = llama_command.convert(SOURCE.value, OUT.value, DTYPE.value)
    print(f"wrote {OUT.value}; in the config set")
    print(f'    config.teacher.weights = "{OUT.value}"')
    print(f'    config.teacher.tokenizer = "{OUT.value}"')
    print(f"    config.teacher.llm.update({', '.join(f'{name}={value}' for name, value in sizes.items())})")


def vad() -> None:
    config = CONFIG.value
    report = vad_command.convert_vad(CHECKPOINT.value, OUT.value, config, released=IMAGES.value == "released")
    say(report)
    order, mean, std = config.data.color_order, config.data.mean, config.data.std
    print(f"images must be {order}, mean {mean}, std {std}; `evaluate` and `export` take --checkpoint={OUT.value}")


def resnet() -> None:
    say(vad_command.convert_resnet(CHECKPOINT.value, OUT.value, CONFIG.value))
    print(f'in the config set config.train.backbone = "{OUT.value}"')


def say(report) -> None:
    keys, ignored = len(report.used) + len(report.ignored), len(report.ignored)
    print(f"{keys} keys: {len(report.used)} used, {ignored} without meaning here, 0 unused, 0 missing")
    print(f"every key and where it went: {OUT.value}/report.txt")


COMMANDS = {"llama": llama, "vad": vad, "resnet": resnet}

if __name__ == "__main__":
    cli.run(main, words="COMMAND")
