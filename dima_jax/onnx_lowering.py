"""How our own JAX primitives become ONNX: rules for jax2onnx."""


def register() -> None:
    """Registers the rules; again does no harm."""
    from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

    from dima_jax.student.grid_sampling import grid_sample_p

    @register_primitive(jaxpr_primitive=grid_sample_p.name, onnx=[{"component": "GridSample"}])
    class GridSample(PrimitiveLeafPlugin):
        """GridSample as opsets 16 to 19 define it; opset 20 renames the mode."""

        def lower(self, context, equation) -> None:
            (out,) = equation.outvars
            *inputs, declared = (
                context.get_value_for_var(x, name_hint=context.fresh_name("grid_sample"))
                for x in (*equation.invars, out)
            )
            result = context.builder.GridSample(
                *inputs,
                mode="bilinear",
                padding_mode="zeros",
                align_corners=0,
                _outputs=[declared.name],
            )
            result.type, result.shape = declared.type, declared.shape
            context.bind_value_for_var(out, result)
