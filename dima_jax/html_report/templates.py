"""The templates of pages, and the style sheets and scripts that stand in them."""

from importlib import resources

import jinja2
from markupsafe import Markup


def text(name: str) -> Markup:
    """A style sheet or script of this package, to be written as it is."""
    return Markup(_read(name))


def render(name: str, /, **values: object) -> str:
    """The page that a template makes of values, which are escaped unless they are Markup; each name of it must be given."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def _read(name: str) -> str:
    return (resources.files("dima_jax.html_report") / name).read_text(encoding="utf-8")
