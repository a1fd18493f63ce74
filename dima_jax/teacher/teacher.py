"""The teacher on one page: a multi-modal LLM that reads the student's scene tokens and a text.

    SceneTokens -> scene adapter -> [ego, agents, BEV, map, text] -> LLaMA + LoRA -> states -> heads -> TeacherOutput

One pass of the LLM serves all tasks (D8). The heads read its last-layer states: at ego positions the teacher's ego
feature and path (D5), at agent positions the agents' futures (D5), at BEV positions the masked reconstruction (D7) and
the future BEVs (D9), at text positions the next-token logits of the answer (D12). Samples whose scene was edited (D10)
are additional rows of the same pass. No gradient is stopped here unless `shapes_student` is off (D11), except that the
scene editor reads the student's predictions as constants; the stops of D6, D7 and D9 are in `losses/`.

D1 to D14 are this implementation's decisions where the paper (Hegde et al., CVPR 2025) is silent: docs/decisions.md.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax.config_kinds import FUTURE_FRAMES
from dima_jax.config_kinds import SCENE_PARTS as PARTS
from dima_jax.teacher import edit_rows, generate
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


class Teacher(nnx.Module):
    """Scene adapter, LLM with LoRA, and heads.

    width, heads: width and attention heads of the teacher's own heads; the width is the student's.
    visible_parts: those of PARTS that the teacher reads; the other parts are zero. ValueError if one is unknown.
    shapes_student: False reads the scene tokens as constants, so that no loss of the teacher reaches the student (D11).
    mask_ratio: least and largest share of BEV cells that is masked in training (D7).
    separate_mask_pass: mask in a second pass of the LLM that serves the reconstruction alone (D8).
    edit_share: share of the samples of a batch that is edited (D10).
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
        visible_parts: Sequence[str],
        shapes_student: bool,
        mask_ratio: Sequence[float],
        separate_mask_pass: bool,
        edit_share: float,
        rngs: nnx.Rngs,
    ):
        if unknown := set(visible_parts) - set(PARTS):
            raise ValueError(f"teacher.tokens: {sorted(unknown)} are no parts of the scene; there are {PARTS}")
        self.visible_parts, self.shapes_student = tuple(visible_parts), shapes_student
        self.mask_ratio, self.separate_mask_pass, self.edit_share = tuple(mask_ratio), separate_mask_pass, edit_share
        self.llm, self.lora, self.adapter, self.editor = llm, lora, adapter, editor

        def ego_head():
            return EgoHead(llm.width, width, num_commands=num_commands, num_future=num_future, rngs=rngs)

        self.ego_head, self.edit_head = ego_head(), ego_head()
        self.agent_head = AgentFutureHead(llm.width, width, heads, num_future=num_future, rngs=rngs)
        self.reconstruction_head = BevHead(llm.width, width, rngs=rngs)
        self.future_heads = nnx.List([BevHead(llm.width, width, rngs=rngs) for _ in range(FUTURE_FRAMES)])

    @jax.named_scope("teacher")
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
        """All predictions of the teacher for the current frame.

        student: its predictions decide what can be edited and where. ego: the recorded path, for the same purpose.
        key: draws the BEV mask and the edits. is_training: False masks no BEV cell.
        """
        mask_key, edit_key = jax.random.split(key)
        batch = command.shape[0]
        num_edited = edit_rows.num_edited(batch, self.edit_share)
        tokens = self.mask_inputs(tokens)
        masked = self._draw_mask(mask_key, batch) if is_training else self._no_mask(batch)

        # Read the scene of every sample, and draw and read the edited scene of some.
        scene = self.read_scene(tokens, self._no_mask(batch) if self.separate_mask_pass else masked)
        edit = self.editor(tokens, student, command, ego, samples=num_edited, key=edit_key)
        edited_scene = {part: edited_samples(x, num_edited) for part, x in scene.items()}
        edited_scene["agents"] = self.adapter.read_agents(edit.tokens, edit.positions, edit.visible)
        edited_text = edit_rows.select_text(edit_text, edit.text_row)

        # Run the LLM once, on both.
        rows = edit_rows.insert((scene, text.tokens, text.mask), (edited_scene, edited_text.tokens, edited_text.mask))
        (states, text_logits), (edited_states, edited_logits) = edit_rows.split(self.run_llm(*rows), num_edited)
        masked_bev_states = states["bev"]
        if self.separate_mask_pass and is_training:
            masked_bev_states = self.run_llm(self.read_scene(tokens, masked), *_no_text(batch))[0]["bev"]

        # Let each head read the states at its positions.
        ego_feature, ego_offsets = self.ego_head(states["ego"])
        _, edited_ego_offsets = self.edit_head(edited_states["ego"])
        return TeacherOutput(
            ego_feature=ego_feature,
            ego_offsets=ego_offsets,
            agent_future_offsets=self.agent_head(states["agents"], tokens.agents, tokens.agent_positions),
            text_logits=text_logits,
            bev_reconstruction=self.reconstruction_head(masked_bev_states),
            bev_masked=masked,
            bev_future=jnp.stack([head(states["bev"]) for head in self.future_heads], axis=1),
            edit=EditOutput(
                ego_offsets=edited_ego_offsets,
                agent_centers=edit.centers,
                agent_future_offsets=edit.future_offsets,
                agent_mask=edit.vehicles,
                touches_path=edit.in_ego_path,
                edited=edit.edited,
                text_logits=edited_logits,
                tokens=edited_text.tokens,
                answer_mask=edited_text.answer_mask & edit.edited[:, None],
            ),
        )

    def plan(self, tokens: SceneTokens) -> tuple[Float[Array, "B D2"], Float[Array, "B R F 2"]]:
        """(teacher ego feature, ego offsets in meters per step) without mask, edits and text.

        The text does not change them: scene positions do not attend to text (D3).
        """
        batch = tokens.bev.shape[0]
        scene = self.read_scene(self.mask_inputs(tokens), self._no_mask(batch))
        states, _ = self.run_llm(scene, *_no_text(batch))
        return self.ego_head(states["ego"])

    def prefill(
        self, tokens: SceneTokens, prompt: Text, *, max_new_tokens: int
    ) -> tuple[Float[Array, "B V"], generate.Cache]:
        """Reads scene and prompt: (logits of the answer's first token, key-value cache for `generate.step`)."""
        x, mask, prefix = self._read_prompt(tokens, prompt)
        return generate.prefill(self.llm, x, mask, prefix=prefix, max_new_tokens=max_new_tokens, lora=self.lora)

    def generate(
        self, tokens: SceneTokens, prompt: Text, *, max_new_tokens: int, end: int
    ) -> Int[Array, "B max_new_tokens"]:
        """The greedy answer to a question about the scene. end: id of the end token, which also fills up the rest."""
        x, mask, prefix = self._read_prompt(tokens, prompt)
        return generate.greedy(self.llm, x, mask, prefix=prefix, max_new_tokens=max_new_tokens, end=end, lora=self.lora)

    def mask_inputs(self, tokens: SceneTokens) -> SceneTokens:
        """The scene tokens with all parts that are not in `visible_parts` set to zero, their positions included, and
        with the ego its CAN bus and command; constants unless the teacher is to shape the student.
        """
        tokens = tokens if self.shapes_student else jax.lax.stop_gradient(tokens)
        more = {"agents": ("agent_positions",), "map": ("map_positions",), "ego": ("can_bus", "command")}
        hidden = [part for part in PARTS if part not in self.visible_parts]
        fields = [name for part in hidden for name in (part, *more.get(part, ()))]
        return tokens.replace(**{name: jax.tree.map(jnp.zeros_like, getattr(tokens, name)) for name in fields})

    def read_scene(self, tokens: SceneTokens, masked: Bool[Array, "B g"]) -> dict[str, Float[Array, "B _ E"]]:
        """{part: LLM inputs}, in the order of PARTS; each part has its own number of inputs.

        masked: cells of the BEV grid that are hidden by the mask token.
        """
        return {
            "ego": self.adapter.read_ego(tokens),
            "agents": self.adapter.read_agents(tokens.agents, tokens.agent_positions),
            "bev": self.adapter.read_bev(tokens.bev, masked),
            "map": self.adapter.read_map(tokens),
        }

    @jax.named_scope("llm")
    def run_llm(
        self, scene: dict[str, Float[Array, "B _ E"]], text: Int[Array, "B S"], text_mask: Bool[Array, "B S"]
    ) -> tuple[dict[str, Float[Array, "B _ E"]], Float[Array, "B S V"]]:
        """One pass of the LLM: ({part: float32 states}, float32 next-token logits at every text position)."""
        x, mask, prefix = self._concatenate(scene, text, text_mask)
        states = self.llm(x, mask, prefix=prefix, lora=self.lora)
        states_of, start = {}, 0
        for part in PARTS:
            end = start + scene[part].shape[1]
            states_of[part] = states[:, start:end].astype(jnp.float32)
            start = end
        return states_of, self.llm.logits(states[:, prefix:])

    def _read_prompt(self, tokens: SceneTokens, prompt: Text):
        """`_concatenate` of the unmasked scene and a prompt."""
        scene = self.read_scene(self.mask_inputs(tokens), self._no_mask(prompt.tokens.shape[0]))
        return self._concatenate(scene, prompt.tokens, prompt.mask)

    def _concatenate(self, scene, text, text_mask):
        """(embeddings [B, prefix + S, E], their mask, prefix) where prefix is the number of scene positions."""
        inputs = [scene[part].astype(self.llm.dtype) for part in PARTS]
        prefix = sum(x.shape[1] for x in inputs)
        x = jnp.concatenate([*inputs, self.llm.embed_tokens(text)], axis=1)
        return x, jnp.concatenate([jnp.ones((len(text), prefix), bool), text_mask], axis=1), prefix

    def _draw_mask(self, key, batch):
        return draw_mask(key, batch, math.prod(self.adapter.bev_grid), self.mask_ratio)

    def _no_mask(self, batch):
        return jnp.zeros((batch, math.prod(self.adapter.bev_grid)), bool)


def _no_text(batch: int):
    return jnp.zeros((batch, 0), jnp.int32), jnp.zeros((batch, 0), bool)
