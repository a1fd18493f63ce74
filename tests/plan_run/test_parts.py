"""Parts of the model by the names in a program, and the scopes that the model gives."""

import re

import jax
import jax.numpy as jnp
import pytest

from dima_jax.plan_run import hlo, parts


@pytest.mark.parametrize(
    ("op_name", "part"),
    [
        ("jit(train_step)/jvp(image_encoder)/while/body/conv", "image backbone"),
        ("jit(train_step)/transpose(jvp(bev_encoder))/while/body/checkpoint/gather", "BEV encoder"),
        ("jit(train_step)/jvp(teacher)/llm/while/body/dot_general", "LLM"),
        ("jit(train_step)/jvp(teacher)/dot_general", "adapter and teacher heads"),
        ("jit(train_step)/optimizer/mul", "optimizer"),
        ("jit(train_step)/jvp(losses)/while/body/sort", "losses"),
        ("jit(train_step)/add", None),
        ("", None),
    ],
)
def test_the_innermost_scope_names_the_part(op_name, part):
    assert parts.of_name(op_name) == part


def test_what_has_no_name_goes_with_what_it_fuses_or_reads_or_what_calls_it():
    text = """
%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %n = f32[4]{0} negate(%p), metadata={op_name="jit(f)/heads/neg"}
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %c = f32[4]{0} copy(%a)
  %f = f32[4]{0} fusion(%c), kind=kLoop, calls=%fused
  %d = f32[4]{0} copy(%f)
  ROOT %e = f32[4]{0} add(%c, %d)
}
"""
    computations, entry = hlo.parse(text)
    table = {i.name: i for i in computations[entry]}
    found = {name: parts.of_instruction(i, table, computations, "LLM") for name, i in table.items()}
    assert found == {"a": "LLM", "c": "LLM", "f": "heads", "d": "heads", "e": "heads"}


def test_scopes_reach_the_gradients_of_compiled_programs():
    @jax.named_scope("bev_encoder")
    def encode(w, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

    @jax.named_scope("losses")
    def loss(w, x):
        return (encode(w, x) ** 2).sum()

    w, x = jnp.ones((3, 8, 8)), jnp.ones((2, 8))
    text = jax.jit(jax.grad(loss)).lower(w, x).compile().as_text()
    names = [name for name in re.findall(r'op_name="([^"]*)"', text) if "dot_general" in name]
    assert any("transpose" in name for name in names)
    assert {parts.of_name(name) for name in names} == {"BEV encoder"}
