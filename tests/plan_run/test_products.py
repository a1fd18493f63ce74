"""Products of HLO: in which number format each platform multiplies."""

import pytest

from dima_jax.plan_run import hlo, products


def product(first, second, attributes="", call="dot("):
    text = f"""
ENTRY %main (a: f32[8,32], b: f32[32,16]) -> f32[8,16] {{
  %a = {first}[8,32]{{1,0}} parameter(0)
  %b = {second}[32,16]{{1,0}} parameter(1)
  ROOT %c = f32[8,16]{{1,0}} {call}%a, %b), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}{attributes}
}}
"""
    computations, entry = hlo.parse(text)
    table = {i.name: i for i in computations[entry]}
    return table["c"], table


@pytest.mark.parametrize(
    ("types", "attributes", "tpu", "cuda"),
    [
        (("bf16", "bf16"), "", "bf16", "bf16"),
        (("f32", "f32"), "", "bf16", "tf32"),
        (("bf16", "f32"), "", "bf16", "tf32"),
        (("f32", "f32"), ", operand_precision={default,high}", "bf16x3", "tf32"),
        (("f32", "f32"), ", operand_precision={highest,highest}", "bf16x6", "f32"),
        (("f32", "f32"), ', backend_config={"operand_precision":["HIGHEST","DEFAULT"]}', "bf16x6", "f32"),
        (("s8", "s8"), "", "s8", "s8"),
        (("f32", "f32"), ", algorithm=dot_bf16_bf16_f32_x3", "dot_bf16_bf16_f32_x3", "dot_bf16_bf16_f32_x3"),
    ],
)
def test_types_and_precision_decide_the_number_format(types, attributes, tpu, cuda):
    found = product(*types, attributes)
    assert [products.number_format(*found, platform) for platform in ("tpu", "cuda")] == [tpu, cuda]
    assert products.flops(*found) == 2 * 8 * 32 * 16


def test_what_is_no_product_has_no_flops():
    assert products.flops(*product("f32", "f32", call="add(")) == 0.0
