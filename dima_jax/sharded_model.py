"""A config's model on a mesh: its structure, its shapes, where every weight lives, and its weights made or read there.

What trains, evaluates with the teacher, or plans a run starts here; nothing here knows an optimizer.
"""

import math
from pathlib import Path

import jax
from flax import nnx
from ml_collections import ConfigDict

from dima_jax import checkpoints, dima, sharding, weights
from dima_jax.convert import llm_folder


class ShardedModel:
    """graph: the structure, for `weights.bind`. abstract: {path: ShapeDtypeStruct}, each on its sharding. shardings: {path:
    NamedSharding} by `config.mesh.rules`. Making one allocates nothing.
    """

    def __init__(self, config: ConfigDict, devices: list[jax.Device] | None = None):
        """devices: those of the mesh, by default all. UserError if they are too few, or a rule does not divide a weight."""
        self.config = config
        self.mesh = sharding.make_mesh(config.mesh.data, config.mesh.fsdp, config.mesh.model, devices)
        self.graph, shapes = weights.split(nnx.eval_shape(lambda: dima.build(config, config.seed)))
        self.shardings = sharding.shard_params(self.mesh, config.mesh.rules, shapes)
        self.abstract = {
            path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.shardings[path])
            for path, leaf in shapes.items()
        }

    @classmethod
    def for_evaluation(cls, config: ConfigDict) -> "ShardedModel":
        """The model without the mesh's data axis, along which weights are only repeated: fewer devices hold a run."""
        config = config.copy_and_resolve_references()
        config.mesh.data = 1
        return cls(config)

    def init_params(self) -> weights.Params:
        """Initial weights of `config.seed` on their shards; the LLM's base from `teacher.weights` where given.

        Weight by weight, not as one jitted function: hundreds of random draws in one program compile for a minute.
        """
        teacher = self.config.teacher
        source = teacher.weights if teacher.enabled else ""
        if source:
            adapter = teacher.adapter
            scene = math.prod(adapter.bev_grid) + adapter.agent_queries + adapter.map_queries + adapter.ego_queries
            llm_folder.check_config(source, teacher.llm, scene + self.config.data.max_text)
        params = weights.split(dima.build(self.config, self.config.seed, init_llm=not source))[1]
        base = weights.with_prefix(params, "teacher/llm/") if source else {}  # shapes alone: it is read, not drawn
        drawn = self.place({path: value for path, value in params.items() if path not in base})
        return drawn | llm_folder.load(source, base, self.shardings) if source else drawn

    def load(self, run: str | Path) -> weights.Params:
        """Every weight of a run on its shards: student and trained teacher as saved, the LLM's base from its source.

        UserError if the folder holds a student alone.
        """
        saved = checkpoints.load_student(run)[1] | checkpoints.load_trainable(run)
        return self.init_params() | self.place(saved)

    def place(self, params: weights.Params) -> weights.Params:
        """The same weights, each on its sharding."""
        return {path: jax.device_put(value, self.shardings[path]) for path, value in params.items()}
