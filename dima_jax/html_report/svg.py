"""Drawings as text: elements of SVG whose texts and attributes are escaped."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from markupsafe import Markup, escape

NOTHING = Markup("")


def element(name: str, *children: str, **attributes: object) -> Markup:
    """`<name ...>children</name>`. children: Markup stays what it is, other text is escaped.

    attributes: "class_" is `class`, "stroke_width" is `stroke-width`; None is left out.
    """
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), told, joined(children))


def joined(parts: Iterable[str]) -> Markup:
    """One after the other, escaped unless they are Markup."""
    return NOTHING.join(escape(part) for part in parts)


def picture(box: tuple[float, float, float, float], title: str, *children: str, **attributes: object) -> Markup:
    """The outermost element. box: x, y, width, height; title: what somebody who cannot see it is told."""
    view = " ".join(number(one) for one in box)
    return element("svg", element("title", title), *children, viewBox=view, role="img", **attributes)


def number(value: float) -> str:
    """With two decimals, without needless zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def points(xy: Float[np.ndarray, "n 2"]) -> str:
    """For `polygon` and `polyline`."""
    return " ".join(f"{number(x)},{number(y)}" for x, y in xy.tolist())


def text(x: float, y: float, words: str, class_: str | None = None, **attributes: object) -> Markup:
    return element("text", words, x=number(x), y=number(y), class_=class_, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str | None = None, **attributes: object) -> Markup:
    ends = {key: number(value) for key, value in (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2))}
    return element("line", **ends, class_=class_, **attributes)
