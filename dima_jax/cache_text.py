"""Writes what a frozen LLM makes of the recorded questions and answers of every key frame, for a student to learn from.

    python -m dima_jax.cache_text --config=configs/demo_smollm2.py --config.data.path=data/vectors/records --out=data/vectors/text_smollm2
    python -m dima_jax.cache_text --config=configs/demo_smollm2.py --config.data.path=data/vectors/records --random=0 --out=data/vectors/text_random

The LLM is that of `teacher.weights`, `teacher.tokenizer` and `teacher.llm` (docs/llm.md says how to get one); with --random
it has weights drawn from a seed instead, which is the control. It reads of each frame the questions whose answers tell most, as many as fit into
--tokens, and nothing else; the mean of its last states is kept. `dima_jax.train --config.distill.cache=DIR` learns from
it by any form but `plan` and `shared_head`, as there is no plan: docs/training.md. A command that was stopped goes on with
the scenes that are left. Several commands may share the scenes: --share=0/2 and --share=1/2.
"""

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError

READS = ("teacher.llm", "teacher.weights", "teacher.tokenizer", "data.path", "data.train_split")  # of the config


def main() -> None:
    if CONFIG.value is None:
        raise UserError("--config is missing; give one with an LLM, e.g. --config=configs/demo_smollm2.py")
    from dima_jax import config_check, scene_shards
    from dima_jax.data.records import Records

    part, parts = scene_shards.share_of(SHARE.value)
    config, of_llm = CONFIG.value, ("teacher.weights",) if RANDOM.value is None else ()
    if of_llm and not config.teacher.weights:
        raise UserError(
            'config.teacher.weights="": names no LLM to read with; give a folder (docs/llm.md), or --random=0 for random weights'
        )
    config_check.check_folders(config, "data.path", "teacher.tokenizer", *of_llm)
    split = SPLIT.value or config.data.train_split
    Records(config.data.path, split)

    from dima_jax import text_reading

    options = dict(tokens=TOKENS.value, random=RANDOM.value, batch=BATCH.value, part=part, parts=parts)
    text_reading.write(config, split, OUT.value, **options)
    print(f"{OUT.value}: what the LLM makes of the questions and answers of split {split}")


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config(parts=READS)
    OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
    SPLIT = flags.DEFINE_string("split", None, "Split to read; default: the config's train split.")
    TOKENS = flags.DEFINE_integer("tokens", 64, "Tokens of a frame's text at most.", lower_bound=2)
    RANDOM = flags.DEFINE_integer(
        "random", None, "Seed of random weights, in place of those of teacher.weights.", lower_bound=0
    )
    BATCH = flags.DEFINE_integer("batch", 8, "Texts that are read at once; more for a GPU.", lower_bound=1)
    SHARE = flags.DEFINE_string("share", "0/1", "Which of several commands this is, each with scenes of its own.")
    cli.run(main)
