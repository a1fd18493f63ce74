"""The teacher of a config. The config ends here: the modules take plain values."""

from flax import nnx
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.teacher.llama import Llama
from dima_jax.teacher.lora import Lora
from dima_jax.teacher.scene_adapter import SceneAdapter
from dima_jax.teacher.scene_edit import SceneEditor
from dima_jax.teacher.teacher import Teacher


def build_teacher(config: ConfigDict, rngs: nnx.Rngs, *, init_llm: bool = True) -> Teacher:
    """The teacher of a whole config with newly initialized weights.

    init_llm: False leaves the LLM's frozen base as `jax.ShapeDtypeStruct`s, for a caller that loads it from a file.
    ValueError if sizes do not fit each other or `teacher.tokens` names an unknown part of the scene.
    """
    student, teacher = config.student, config.teacher
    llm = Llama(**teacher.llm, rngs=rngs) if init_llm else abstract_llm(teacher.llm, rngs)
    lora = Lora(llm.shapes, layers=llm.depth, rank=teacher.lora.rank, alpha=teacher.lora.alpha, rngs=rngs)
    adapter = SceneAdapter(
        **teacher.adapter, width=student.width, llm_width=llm.width, bev_shape=student.bev_shape, rngs=rngs
    )
    editor = SceneEditor(
        student.width,
        num_future=student.num_future,
        pc_range=student.pc_range,
        score_threshold=teacher.edit_threshold,
        rngs=rngs,
    )
    return Teacher(
        llm=llm,
        lora=lora,
        adapter=adapter,
        editor=editor,
        width=student.width,
        heads=teacher.adapter.heads,
        num_commands=student.num_commands,
        num_future=student.num_future,
        visible_parts=teacher.tokens,
        shapes_student=teacher.shapes_student,
        mask_ratio=teacher.mask_ratio,
        separate_mask_pass=teacher.separate_mask_pass,
        edit_share=teacher.edit_share,
        rngs=rngs,
    )


def abstract_llm(sizes: ConfigDict, rngs: nnx.Rngs) -> Llama:
    """The LLM as shapes and dtypes, without memory for its weights. sizes: the config group `teacher.llm`.

    It takes as many keys from `rngs` as an initialized LLM does, so all weights that are initialized after it are the
    same in both cases.
    """
    llm = nnx.eval_shape(lambda: Llama(**sizes, rngs=nnx.Rngs(0)))
    for path in weights.split(llm)[1]:
        if not path.endswith("scale"):  # the gains of norms start at one, without a key
            rngs.params()
    return llm
