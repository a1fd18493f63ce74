"""Converts or loads an LLM's folder in a process of its own and prints by how many bytes its memory rose.

    python -m tests.convert.memory_worker {convert,load} FROM [TO]

That is the peak of resident memory, less what was resident before; of a load also less the weights, because on a CPU
they stay in the host's memory. For the same reason a tensor on its way into a device counts twice here.
"""

import sys
from pathlib import Path

import jax

from dima_jax import sharding
from dima_jax.configs import base
from dima_jax.convert import llama_config, llm_folder
from dima_jax.convert.llama_command import convert_llama

LLAMA = dict(
    hidden_size=2, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1, vocab_size=2, rms_norm_eps=1e-5
)


def memory(field: str) -> int:
    """Bytes by /proc: VmRSS (resident now) or VmHWM (most so far; unlike getrusage's, not the parent's)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def load(folder: str) -> dict[str, jax.Array]:
    """All weights on the mesh and by the rules of `configs/base.py`."""
    config, index = base.get_config(), llm_folder.read_index(folder)
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.fsdp, config.mesh.model, jax.devices())
    abstract = {
        f"teacher/llm/{path}": jax.ShapeDtypeStruct(shape, "float32" if path.endswith("scale") else index["dtype"])
        for path, shape in index["shapes"].items()
    }
    return llm_folder.load(folder, abstract, sharding.shard_params(mesh, config.mesh.rules, abstract))


def main(command: str, source: str, *out: str) -> None:
    jax.block_until_ready(jax.numpy.zeros(()))
    llama_config.llm_sizes(LLAMA, "")  # transformers is imported when it is first asked
    before = memory("VmRSS")
    if command == "convert":
        convert_llama(source, *out, "bfloat16")
        print(memory("VmHWM") - before)
    else:
        shards = [shard.data.nbytes for value in load(source).values() for shard in value.addressable_shards]
        print(memory("VmHWM") - before - sum(shards))


if __name__ == "__main__":
    main(*sys.argv[1:])
