"""FLOPs of the method as written: matrix products and convolutions of a traced function, 2 per multiply-add.

Counted on the jaxpr after dead code is gone, loops multiplied by their length, so the number depends on no compiler and
no mesh, but on the platform's forms: of a 3x3 convolution of a CPU it counts the half of the products that are computed.
A loop whose length depends on data counts once; of a conditional the costliest branch counts. `hlo_cost.py` counts the
compiled program; the ratio of the two shows what rematerialization or the compiler computes twice.
"""

import math
from collections.abc import Callable

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.interpreters import partial_eval
from ml_collections import ConfigDict

from dima_jax.plan_run.products import taps


def of_function(function: Callable, *arguments) -> float:
    """FLOPs of one call; arguments may be `jax.ShapeDtypeStruct`s."""
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return of_jaxpr(jaxpr)


def of_jaxpr(jaxpr: Jaxpr) -> float:
    """FLOPs of one evaluation."""
    return sum(of_equation(equation) for equation in jaxpr.eqns)


def of_equation(equation) -> float:
    """FLOPs of one equation of a jaxpr, those of the jaxprs that it calls included."""
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[i] for i in contracted)
    if name == "conv_general_dilated":
        return _convolution(equation)
    inner = [
        of_jaxpr(value.jaxpr if isinstance(value, ClosedJaxpr) else value)
        for parameter in parameters.values()
        for value in (parameter if isinstance(parameter, (tuple, list)) else (parameter,))
        if isinstance(value, (Jaxpr, ClosedJaxpr))
    ]
    if name == "cond":
        return max(inner)
    return sum(inner) * (parameters["length"] if name == "scan" else 1)


def _convolution(equation) -> float:
    p, (image, kernel), result = equation.params, equation.invars, equation.outvars[0].aval.shape
    numbers, image, kernel = p["dimension_numbers"], image.aval.shape, kernel.aval.shape
    lhs, rhs, out = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    work = 2.0 * result[out[0]] * result[out[1]] * kernel[rhs[1]] / p["batch_group_count"]
    for i in range(len(out) - 2):
        sizes = image[lhs[i + 2]], kernel[rhs[i + 2]], result[out[i + 2]]
        work *= taps(*sizes, p["window_strides"][i], p["padding"][i][0], p["lhs_dilation"][i], p["rhs_dilation"][i])
    return work


def without_remat(config: ConfigDict) -> ConfigDict:
    """A copy of the config with every activation kept, so that nothing is computed twice."""
    config = config.copy_and_resolve_references()
    config.teacher.llm.remat = False
    config.student.encoder_remat = "never"
    return config
