"""The teacher on one page: a multi-modal LLM that reads the student's scene tokens and drives, answers and imagines.

    SceneTokens -> scene adapter -> [ego, agents, BEV, map, text] -> LLaMA + LoRA -> states -> heads -> TeacherOutput

One pass serves all tasks (D8): the states at ego positions give the teacher ego feature and path (D5), at agent
positions the agents' futures (D5), at BEV positions the masked reconstruction (D7) and the BEV to come (D9), at text
positions the answer (D12). The edited samples (D10) are further rows of the same LLM call. Nothing here stops a
gradient (D11) but the edit's reading of predictions; the stops of D6, D7 and D9 are in `losses/`.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.teacher import generate
from dima_jax.teacher.llama import Llama
from dima_jax.teacher.lora import Lora
from dima_jax.teacher.scene_adapter import SceneAdapter
from dima_jax.teacher.scene_edit import SceneEditor
from dima_jax.teacher.surrogate_heads import AgentFutureHead, BevHead, EgoHead, draw_mask
from dima_jax.types import (
    EditOutput,
    EditText,
    EgoTargets,
    SceneTokens,
    StudentOutput,
    TeacherOutput,
    Text,
    edited_samples,
)

FUTURE_FRAMES = 2  # D9: 0.5 s and 1.0 s ahead


class Teacher(nnx.Module):
    """Adapter, LLM, LoRA and heads. tokens: the parts of the scene it sees; mask_ratio, separate_mask_pass, edit_share:
    D7, D8, D10.
    """

    def __init__(
        self,
        *,
        llm: Llama,
        lora: Lora,
        adapter: SceneAdapter,
        editor: SceneEditor,
        width: int,
        heads: int,
        num_commands: int,
        num_future: int,
        tokens: tuple[str, ...],
        mask_ratio: tuple[float, float],
        separate_mask_pass: bool,
        edit_share: float,
        rngs: nnx.Rngs,
    ):
        self.llm, self.lora, self.adapter, self.editor = llm, lora, adapter, editor
        self.tokens = tuple(tokens)
        if unknown := set(tokens) - set(PARTS):
            raise ValueError(f"teacher.tokens: {sorted(unknown)} are no parts of the scene; there are {PARTS}")
        self.mask_ratio, self.separate_mask_pass, self.edit_share = tuple(mask_ratio), separate_mask_pass, edit_share

        def ego_head():
            return EgoHead(llm.width, width, num_commands=num_commands, num_future=num_future, rngs=rngs)

        self.ego_head, self.edit_head = ego_head(), ego_head()
        self.agent_head = AgentFutureHead(llm.width, width, heads, num_future=num_future, rngs=rngs)
        self.reconstruction_head = BevHead(llm.width, width, rngs=rngs)
        self.future_heads = nnx.List([BevHead(llm.width, width, rngs=rngs) for _ in range(FUTURE_FRAMES)])

    def __call__(
        self,
        tokens: SceneTokens,
        student: StudentOutput,
        text: Text,
        edit_text: EditText,
        command: Float[Array, "B 3"],
        ego: EgoTargets,
        *,
        key: Array,
        is_training: bool,
    ) -> TeacherOutput:
        """Everything the teacher says about the current frame.

        student: its predictions place and judge the edits (D10). is_training: BEV cells are masked. key: mask and edits.
        """
        mask_key, edit_key = jax.random.split(key)
        tokens = self.mask_inputs(tokens)
        batch = command.shape[0]
        edits = num_edits(batch, self.edit_share)
        masked = self._draw_mask(mask_key, batch) if is_training else self._no_mask(batch)
        scene = self.read_scene(tokens, self._no_mask(batch) if self.separate_mask_pass else masked)
        edit = self.editor(tokens, student, command, ego, samples=edits, key=edit_key)
        edited_scene = {part: edited_samples(x, edits) for part, x in scene.items()}
        edited_scene["agents"] = self.adapter.read_agents(edit.tokens, edit.positions, edit.visible)
        question = jax.tree.map(lambda x: edit_row(edited_samples(x, edits), edit.row), edit_text)

        rows = (scene, text.tokens, text.mask), (edited_scene, question.tokens, question.mask)
        states, text_logits = self.run_llm(*jax.tree.map(interleave, *rows))
        now = {part: without_edits(x, edits) for part, x in states.items()}
        reconstructed = now["bev"]
        if self.separate_mask_pass and is_training:
            reconstructed = self.run_llm(self.read_scene(tokens, masked), *_no_text(batch))[0]["bev"]
        feature, ego_offsets = self.ego_head(now["ego"])
        _, edited_offsets = self.edit_head(edits_alone(states["ego"], edits))
        return TeacherOutput(
            ego_feature=feature,
            ego_offsets=ego_offsets,
            agent_future_offsets=self.agent_head(now["agents"], tokens.agents, tokens.agent_positions),
            text_logits=without_edits(text_logits, edits),
            bev_reconstruction=self.reconstruction_head(reconstructed),
            bev_masked=masked,
            bev_future=jnp.stack([head(now["bev"]) for head in self.future_heads], axis=1),
            edit=EditOutput(
                ego_offsets=edited_offsets,
                agent_centers=edit.centers,
                agent_future_offsets=edit.future_offsets,
                agent_mask=edit.vehicles,
                touches_path=edit.in_ego_path,
                edited=edit.edited,
                text_logits=edits_alone(text_logits, edits),
                tokens=question.tokens,
                answer_mask=question.answer_mask & edit.edited[:, None],
            ),
        )

    def mask_inputs(self, tokens: SceneTokens) -> SceneTokens:
        """The scene as far as `teacher.tokens` lets the teacher see it; what it may not see is zero, its places too."""
        places = {"agents": ("agent_positions",), "map": ("map_positions",)}
        hidden = [name for part in PARTS if part not in self.tokens for name in (part, *places.get(part, ()))]
        return tokens.replace(**{name: jnp.zeros_like(getattr(tokens, name)) for name in hidden})

    def read_scene(self, tokens: SceneTokens, masked: Bool[Array, "B g"]) -> dict[str, Float[Array, "B n E"]]:
        """The LLM's scene prefix by part, in the paper's order (D3)."""
        return {
            "ego": self.adapter.read_ego(tokens),
            "agents": self.adapter.read_agents(tokens.agents, tokens.agent_positions),
            "bev": self.adapter.read_bev(tokens.bev, masked),
            "map": self.adapter.read_map(tokens),
        }

    def run_llm(
        self, scene: dict[str, Float[Array, "B n E"]], text: Int[Array, "B S"], text_mask: Bool[Array, "B S"]
    ) -> tuple[dict[str, Float[Array, "B n E"]], Float[Array, "B S V"]]:
        """One pass of the LLM: (float32 states of each scene part, logits at every text position)."""
        x, mask, prefix = self._sequence(scene, text, text_mask)
        states = self.llm(x, mask, prefix=prefix, lora=self.lora)
        parts, start = {}, 0
        for part in PARTS:
            end = start + scene[part].shape[1]
            parts[part] = states[:, start:end].astype(jnp.float32)
            start = end
        return parts, self.llm.logits(states[:, prefix:])

    def plan(self, tokens: SceneTokens) -> tuple[Float[Array, "B D2"], Float[Array, "B R F 2"]]:
        """(teacher ego feature, ego offsets in meters per step) alone, unmasked. The scene sees no text, so none is read."""
        batch = tokens.bev.shape[0]
        scene = self.read_scene(self.mask_inputs(tokens), self._no_mask(batch))
        return self.ego_head(self.run_llm(scene, *_no_text(batch))[0]["ego"])

    def prefill(
        self, tokens: SceneTokens, prompt: Text, *, max_new_tokens: int
    ) -> tuple[Float[Array, "B V"], generate.Cache]:
        """Reads scene and question: logits of the answer's first token, and what `generate.step` goes on from."""
        x, mask, prefix = self._question(tokens, prompt)
        return generate.prefill(self.llm, x, mask, prefix=prefix, max_new_tokens=max_new_tokens, lora=self.lora)

    def generate(
        self, tokens: SceneTokens, prompt: Text, *, max_new_tokens: int, end: int
    ) -> Int[Array, "B max_new_tokens"]:
        """The greedy answer to a question about the scene: at most `max_new_tokens` tokens, filled with `end`."""
        x, mask, prefix = self._question(tokens, prompt)
        return generate.greedy(self.llm, x, mask, prefix=prefix, max_new_tokens=max_new_tokens, end=end, lora=self.lora)

    def _question(self, tokens: SceneTokens, prompt: Text):
        scene = self.read_scene(self.mask_inputs(tokens), self._no_mask(prompt.tokens.shape[0]))
        return self._sequence(scene, prompt.tokens, prompt.mask)

    def _sequence(self, scene, text, text_mask):
        """(embeddings, mask, length of the scene prefix) of scene and text."""
        embeds = [scene[part].astype(self.llm.dtype) for part in PARTS]
        prefix = sum(part.shape[1] for part in embeds)
        x = jnp.concatenate([*embeds, self.llm.embed_tokens(text)], axis=1)
        return x, jnp.concatenate([jnp.ones((len(text), prefix), bool), text_mask], axis=1), prefix

    def _draw_mask(self, key, batch):
        return draw_mask(key, batch, math.prod(self.adapter.bev_grid), self.mask_ratio)

    def _no_mask(self, batch):
        return jnp.zeros((batch, math.prod(self.adapter.bev_grid)), bool)


def num_edits(batch: int, share: float) -> int:
    """How many samples of a batch are edited: ceil(share * batch), or the next smaller number that divides the batch."""
    return next((n for n in range(math.ceil(share * batch), 0, -1) if batch % n == 0), 0)


def interleave(samples: Array, edited: Array) -> Array:
    """Rows of one LLM call: after each group of B / n samples the edit of its first, so that a mesh moves nothing."""
    if not len(edited):
        return samples
    groups = samples.reshape(len(edited), -1, *samples.shape[1:])
    return jnp.concatenate([groups, edited[:, None]], axis=1).reshape(-1, *samples.shape[1:])


def without_edits(rows: Array, edits: int) -> Array:
    """The samples' rows of `interleave`."""
    return rows.reshape(edits, -1, *rows.shape[1:])[:, :-1].reshape(-1, *rows.shape[1:]) if edits else rows


def edits_alone(rows: Array, edits: int) -> Array:
    """The edits' rows of `interleave`."""
    return rows.reshape(edits, -1, *rows.shape[1:])[:, -1] if edits else rows[:0]


def edit_row(texts: Array, row: Int[Array, " n"]) -> Array:
    """[n, Q, S] to the text [n, S] of each sample's edit."""
    return jnp.take_along_axis(texts, row[:, None, None], axis=1)[:, 0]


PARTS = ("ego", "agents", "bev", "map")  # of the scene prefix, in order


def _no_text(batch: int):
    return jnp.zeros((batch, 0), jnp.int32), jnp.zeros((batch, 0), bool)


def abstract_llm(sizes: ConfigDict, rngs: nnx.Rngs) -> Llama:
    """An LLM of shapes. Its keys are used up, so that every other weight is what it is beside a drawn one."""
    llm = nnx.eval_shape(lambda: Llama(**sizes, rngs=nnx.Rngs(0)))
    for path in weights.split(llm)[1]:
        if not path.endswith("scale"):
            rngs.params()
    return llm


def build(config: ConfigDict, student_width: int, rngs: nnx.Rngs, *, init_llm: bool = True) -> Teacher:
    """The teacher of a whole config, with fresh weights; init_llm: as in `dima.build`."""
    student, teacher = config.student, config.teacher
    llm = Llama(**teacher.llm, rngs=rngs) if init_llm else abstract_llm(teacher.llm, rngs)
    lora = Lora(llm.shapes, layers=llm.depth, rank=teacher.lora.rank, alpha=teacher.lora.alpha, rngs=rngs)
    adapter = SceneAdapter(
        **teacher.adapter, width=student_width, llm_width=llm.width, bev_shape=student.bev_shape, rngs=rngs
    )
    editor = SceneEditor(
        student_width,
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
        width=student_width,
        heads=teacher.adapter.heads,
        tokens=teacher.tokens,
        num_commands=student.num_commands,
        num_future=student.num_future,
        mask_ratio=teacher.mask_ratio,
        separate_mask_pass=teacher.separate_mask_pass,
        edit_share=teacher.edit_share,
        rngs=rngs,
    )
