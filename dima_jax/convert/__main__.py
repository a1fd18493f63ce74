"""Imports weights made elsewhere, strictly: every tensor is accounted for, or the command says which is not.

    python -m dima_jax.convert vad --config=configs/vad_tiny.py --checkpoint=VAD_tiny.pth --out=runs/vad_tiny_released
    python -m dima_jax.convert resnet --checkpoint=resnet50.pth --out=weights/resnet50
    python -m dima_jax.convert llama --source=vicuna-7b-v1.5 --out=weights/vicuna_7b
    python -m dima_jax.convert llama --source=SmolLM2-135M-Instruct.Q4_1.gguf --out=weights/smollm2_135m

vad     the released VAD-Tiny or VAD-Base as a run's folder, which `evaluate`, `export` and `train.init_from` take
resnet  torchvision's ResNet-50 as the folder that config.train.backbone names
llama   a LLaMA's weights and tokenizer as the folder that config.teacher.weights and config.teacher.tokenizer name
"""

from pathlib import Path

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError

SOURCE = flags.DEFINE_string(
    "source", None, "llama: folder of a Hugging Face LLaMA, Mistral or LLaVA, or a .gguf file."
)
CHECKPOINT = flags.DEFINE_string("checkpoint", None, "vad, resnet: the .pth file.")
EMA = flags.DEFINE_boolean(
    "ema",
    False,
    "vad, resnet: the averaged copy of the weights that the file holds beside them: mmcv's names with ema_, mmengine's "
    "ema_state_dict, timm's state_dict_ema. OpenMMLab's epoch runners save with the two exchanged, the average under "
    "the plain names: then this flag is not wanted.",
)
OUT = flags.DEFINE_string("out", None, "Folder to write: a new one.")
DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "llama: dtype of the matrices on disk.")
CONFIG = cli.define_config("configs/base.py", parts=("student", "data"))
IMAGES = flags.DEFINE_enum(
    "images",
    "released",
    ["released", "config"],
    "vad: which image normalization the weights were trained with: the released VAD's (BGR, mean 103.53, 116.28, 123.675, "
    "std 1) or the config's.",
)


def main(command: str | None) -> None:
    if command not in COMMANDS:
        raise UserError(f"python -m dima_jax.convert {command or '?'}: say one of {', '.join(COMMANDS)}")
    run, taken = COMMANDS[command]
    for flag in (SOURCE, CHECKPOINT, DTYPE, IMAGES, EMA):
        if flag.present and flag.name not in taken:
            raise UserError(f"python -m dima_jax.convert {command}: does not take --{flag.name}")
    if not flags.FLAGS[taken[0]].value or not OUT.value:
        raise UserError(f"python -m dima_jax.convert {command}: needs --{taken[0]} and --out")
    run()


def vad() -> None:
    from dima_jax.convert.vad_command import convert_vad

    config = CONFIG.value
    released = IMAGES.value == "released"
    print_counts(convert_vad(CHECKPOINT.value, OUT.value, config, released=released, averaged=EMA.value))
    order, mean, std = config.data.color_order, config.data.mean, config.data.std
    print(f"images must be {order}, mean {mean}, std {std}; `evaluate` and `export` take --checkpoint={OUT.value}")


def resnet() -> None:
    from dima_jax.convert.vad_command import convert_resnet

    print_counts(convert_resnet(CHECKPOINT.value, OUT.value, CONFIG.value, averaged=EMA.value))
    print(f'in the config set config.train.backbone = "{OUT.value}"')


def llama() -> None:
    from dima_jax.convert import hf_tokenizer, out_folder
    from dima_jax.convert.llama_command import convert_llama

    out_folder.check_free(OUT.value)
    sizes = convert_llama(SOURCE.value, OUT.value, DTYPE.value)
    tokenizer = Path(OUT.value) / hf_tokenizer.TOKENIZER
    print(f"wrote {OUT.value}; in the config set")
    print(f'    config.teacher.weights = "{OUT.value}"')
    if hf_tokenizer.is_tokenizer(tokenizer):
        print(f'    config.teacher.tokenizer = "{OUT.value}"')
    print(f"    config.teacher.llm.update({', '.join(f'{name}={value}' for name, value in sizes.items())})")
    if not hf_tokenizer.is_tokenizer(tokenizer):
        print(
            f"{SOURCE.value} holds no tokenizer that can be read: put the model's tokenizer.json and tokenizer_config.json "
            f"into {SOURCE.value} and convert again, or its texts cannot be used"
        )


def print_counts(assignments) -> None:
    used, ignored = len(assignments.used), len(assignments.ignored)
    print(f"{used + ignored} keys: {used} used, {ignored} without meaning here, 0 unused, 0 missing")
    print(f"every key and where it went: {OUT.value}/report.txt")


COMMANDS = {  # name: (function, the flags it takes beside --out and --config; the first is required)
    "vad": (vad, ("checkpoint", "images", "ema")),
    "resnet": (resnet, ("checkpoint", "ema")),
    "llama": (llama, ("source", "dtype")),
}

if __name__ == "__main__":
    cli.run(main, words="COMMAND")
