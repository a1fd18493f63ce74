"""How JAX primitives become ONNX where jax2onnx has no rule, or one that runtimes are slow with."""


def register() -> None:
    """Registers the rules; again does no harm."""
    from jax import lax
    from jax2onnx.plugins.jax.lax.reduce_window_max import ReduceWindowMaxPrimitivePlugin
    from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, import_all_plugins, register_primitive

    from dima_jax.student.exported_operations import scatter_in_rows_p, softmax_p
    from dima_jax.student.grid_sampling import grid_sample_p

    import_all_plugins()  # they come first, since the last rule of a primitive holds

    @register_primitive(jaxpr_primitive=grid_sample_p.name, onnx=[{"component": "GridSample"}])
    class GridSample(PrimitiveLeafPlugin):
        """GridSample as opsets 16 to 19 define it; opset 20 renames the mode."""

        def lower(self, context, equation) -> None:
            operands, declared = _values(context, equation)
            options = dict(mode="bilinear", padding_mode="zeros", align_corners=0)
            result = context.builder.GridSample(*operands, **options, _outputs=[declared.name])
            _bind(context, equation, result, declared)

    @register_primitive(jaxpr_primitive=softmax_p.name, onnx=[{"component": "Softmax"}])
    class Softmax(PrimitiveLeafPlugin):
        """Softmax over the last axis."""

        def lower(self, context, equation) -> None:
            (x,), declared = _values(context, equation)
            _bind(context, equation, context.builder.Softmax(x, axis=-1, _outputs=[declared.name]), declared)

    @register_primitive(jaxpr_primitive=scatter_in_rows_p.name, onnx=[{"component": "ScatterElements"}])
    class ScatterInRows(PrimitiveLeafPlugin):
        """ScatterElements into numbers of which none stays."""

        def lower(self, context, equation) -> None:
            (x, place), declared = _values(context, equation)
            result = context.builder.ScatterElements(x, place, x, axis=1, _outputs=[declared.name])
            _bind(context, equation, result, declared)

    @register_primitive(jaxpr_primitive=lax.reduce_window_max_p.name, onnx=[{"component": "MaxPool"}])
    class MaxPool(ReduceWindowMaxPrimitivePlugin):
        """Pooling over rows and columns of [images, rows, columns, channels], as runtimes have it; jax2onnx's rule elsewhere."""

        def lower(self, context, equation) -> None:
            params = equation.params
            axes = list(zip(params["window_dimensions"], params["window_strides"], params["padding"], strict=True))
            is_dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
            if len(axes) != 4 or {axes[0], axes[3]} != {(1, 1, (0, 0))} or is_dilated:
                super().lower(context, equation)
                return
            (x,), declared = _values(context, equation)
            window, strides, padding = zip(*axes[1:3], strict=True)
            (top, bottom), (left, right) = padding
            build, name = context.builder, context.fresh_name
            x = build.Transpose(x, perm=[0, 3, 1, 2], _outputs=[name("channels_first")])
            options = dict(kernel_shape=list(window), strides=list(strides), pads=[top, left, bottom, right])
            x = build.MaxPool(x, **options, _outputs=[name("max_pool")])
            _bind(context, equation, build.Transpose(x, perm=[0, 2, 3, 1], _outputs=[declared.name]), declared)


def _values(context, equation) -> tuple[list, object]:
    """(the operands of an equation, its result as declared)."""
    (out,) = equation.outvars
    *operands, declared = (
        context.get_value_for_var(x, name_hint=context.fresh_name(equation.primitive.name))
        for x in (*equation.invars, out)
    )
    return operands, declared


def _bind(context, equation, result, declared) -> None:
    result.type, result.shape = declared.type, declared.shape
    context.bind_value_for_var(equation.outvars[0], result)
