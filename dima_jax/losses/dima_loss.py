"""The DiMA loss: every term of training, weighted and added.

    L = L_planning + L_perception + L_llm + L_recon + L_future + L_edit + L_distill

Each term is a `Term(sum, count)` that is divided here, once, and weighted by the config (`config.loss`). The teacher's
terms exist only with a teacher (stage 3, docs/decisions.md#d13); a term with weight 0 is left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dima_jax import geometry
from dima_jax.losses import agents, auxiliary, distill, language, plan, surrogate
from dima_jax.losses import map as map_losses
from dima_jax.types import AuxiliaryOutput, Batch, StudentOutput, TaughtEgo, TeacherOutput, Term, edited_samples


def total(terms: dict[str, Term], weights: dict[str, float]) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """(weighted sum, {name: mean of the term, before weighting}). A term with count 0 is 0."""
    means = {name: term.sum / jnp.maximum(term.count, 1.0) for name, term in terms.items()}
    return sum(weights[name] * mean for name, mean in means.items()), means


class Matches(NamedTuple):
    """The query matched to each target, per decoder layer; -1 where the target is padding."""

    agents: Int[Array, "Za B G"]
    map: Int[Array, "Zm B L"]
    map_order: Int[Array, "Zm B L"]  # the vertex order of the target that fits best


def match(output: StudentOutput, batch: Batch, weights: dict[str, float]) -> Matches:
    """Hungarian matching; the matcher's weights are those of the loss (VAD asserts that they are equal)."""
    agent_match = agents.assign(
        output, batch.agents, class_weight=weights["agent_class"], box_weight=weights["agent_box"]
    )
    map_match, map_order = map_losses.assign(
        output, batch.map, class_weight=weights["map_class"], points_weight=weights["map_points"]
    )
    return Matches(agent_match, map_match, map_order)


def student_terms(
    output: StudentOutput, batch: Batch, matches: Matches, weights: dict[str, float], pc_range: Sequence[float]
) -> dict[str, Term]:
    """L_planning and L_perception of the student: VAD's losses (docs/vad.md#losses)."""
    terms = agents.agent_terms(output, batch.agents, matches.agents)
    terms |= map_losses.map_terms(output, batch.map, pc_range, matches.map, matches.map_order)
    scene = plan.surroundings(output, pc_range)
    terms |= _named(
        "plan",
        plan.plan_terms(output.ego_offsets, batch.command, batch.ego.future_offsets, batch.ego.future_mask, scene),
    )
    return _weighted(terms, weights)


def acting_shares(output: StudentOutput, batch: Batch, pc_range: Sequence[float]) -> dict[str, Float[Array, ""]]:
    """{"plan_<constraint>": share of samples in which it acts on the student's plan}, for the log."""
    scene = plan.surroundings(output, pc_range)
    shares = plan.acting_shares(output.ego_offsets, batch.command, batch.ego.future_mask, scene)
    return {f"plan_{name}": share for name, share in shares.items()}


def plan_errors(
    student: StudentOutput, teacher: TeacherOutput | TaughtEgo | None, batch: Batch
) -> dict[str, Float[Array, ""]]:
    """{"l2_student", "l2_teacher"}: mean distance in meters to the recorded path over the known steps of the batch, for
    the log: of the plans of this training pass, with its dropout and masks. NaN where no step is known. No "l2_teacher"
    without a teacher, or of one that plans nothing.
    """
    has_plan = teacher is not None and teacher.ego_offsets is not None
    plans = {"l2_student": student.ego_offsets} | ({"l2_teacher": teacher.ego_offsets} if has_plan else {})
    ego = batch.ego
    return {
        name: plan.displacement(offsets, batch.command, ego.future_offsets).mean(where=ego.future_mask)
        for name, offsets in plans.items()
    }


def auxiliary_terms(
    student: StudentOutput,
    output: AuxiliaryOutput,
    batch: Batch,
    weights: dict[str, float],
    *,
    history: int,
    image_shape: Sequence[int],
    bev_shape: Sequence[int],
    pc_range: Sequence[float],
) -> dict[str, Term]:
    """The terms of the auxiliary heads and of the further groups of queries (`losses/auxiliary.py`); not in the paper."""
    shapes = dict(image_shape=image_shape, bev_shape=bev_shape)
    terms = auxiliary.auxiliary_terms(output, batch, history=history, pc_range=pc_range, **shapes)
    return _weighted(terms | auxiliary.group_terms(student, batch, weights, pc_range), weights)


def teacher_terms(
    student: StudentOutput,
    teacher: TeacherOutput,
    future_bevs: Float[Array, "B 2 YX D"] | None,
    batch: Batch,
    matches: Matches,
    weights: dict[str, float],
    *,
    bev_shape: tuple[int, int],
    bev_grid: tuple[int, int],
    pc_range: Sequence[float],
    history: int,
) -> dict[str, Term]:
    """L_llm, L_recon, L_future and L_edit (docs/decisions.md#d5 to #d12).

    Gradients flow into the scene encoder (#d11), unless `student` is given as constants. future_bevs: of the next two key
    frames, each in its own LiDAR frame; None leaves L_future out.
    bev_shape, bev_grid: (rows, columns) of the BEV and of the grid of BEV queries. history: frames before the current.
    """
    scene = plan.surroundings(student, pc_range)
    centers = student.agent_codes[-1][..., :2]
    futures = centers[:, :, None] + geometry.offsets_to_waypoints(teacher.agent_future_offsets)
    terms = _named(
        "teacher",
        plan.plan_terms(
            teacher.ego_offsets,
            batch.command,
            batch.ego.future_offsets,
            batch.ego.future_mask,
            scene._replace(vehicle_waypoints=futures),
        ),
    )
    one_mode = teacher.agent_future_offsets[:, :, None]
    terms["teacher_agents"] = agents.motion_term(one_mode, batch.agents, matches.agents[-1])
    terms["language"] = language.next_token(teacher.text_logits, batch.text.tokens, batch.text.answer_mask)
    terms["reconstruction"] = surrogate.reconstruction(
        teacher.bev_reconstruction, student.tokens.bev, teacher.bev_masked, bev_shape, bev_grid
    )
    if future_bevs is not None:
        terms["future"] = surrogate.future(
            teacher.bev_future,
            future_bevs,
            batch.frame_to_current[:, history + 1 :],
            batch.frame_mask[:, history + 1 :],
            bev_shape,
            bev_grid,
            pc_range,
        )
    terms |= _edit_terms(teacher, batch, scene)
    return _weighted(terms, weights)


def distill_terms(
    student: StudentOutput,
    teacher: TeacherOutput | TaughtEgo,
    batch: Batch,
    weights: dict[str, float],
    *,
    form: str,
    gate: bool,
) -> dict[str, Term]:
    """L_distill: of a teacher in memory, or of one that was asked before. form, gate: of `distill.distillation`."""
    term = distill.distillation(
        distill.Ego(teacher.ego_feature, teacher.ego_offsets),
        distill.Ego(student.ego_feature, student.ego_offsets),
        batch.command,
        batch.ego,
        form=form,
        temperature=weights["distill_temperature"],
        gate=gate,
    )
    return _weighted({"distill": term}, weights)


def _edit_terms(teacher: TeacherOutput, batch: Batch, scene: plan.Surroundings) -> dict[str, Term]:
    """L_edit (docs/decisions.md#d10): the constraints in the edited scene, and imitation where the recorded path still
    applies.
    """
    edit = teacher.edit
    count = edit.ego_offsets.shape[0]
    command, ego, scene = jax.tree.map(lambda x: edited_samples(x, count), (batch.command, batch.ego, scene))
    waypoints = edit.agent_centers[:, :, None] + geometry.offsets_to_waypoints(edit.agent_future_offsets)
    mask = ego.future_mask & edit.edited[:, None]
    terms = _named(
        "edit",
        plan.plan_terms(
            edit.ego_offsets,
            command,
            ego.future_offsets,
            mask,
            scene._replace(vehicle_waypoints=waypoints, vehicle_mask=edit.agent_mask),
        ),
    )
    untouched = mask & ~edit.touches_path[:, None]
    terms["edit_imitation"] = plan.imitation(edit.ego_offsets, command, ego.future_offsets, untouched)
    terms["edit_language"] = language.next_token(edit.text_logits, edit.tokens, edit.answer_mask)
    return terms


def _named(prefix: str, terms: dict[str, Term]) -> dict[str, Term]:
    return {f"{prefix}_{name}": term for name, term in terms.items()}


def _weighted(terms: dict[str, Term], weights: dict[str, float]) -> dict[str, Term]:
    return {name: term for name, term in terms.items() if weights[name] > 0}
