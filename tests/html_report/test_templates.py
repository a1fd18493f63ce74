"""Templates: values are escaped, files of the package are not, and a name that is not given is an error."""

import jinja2
import pytest
from markupsafe import Markup

from dima_jax.html_report import templates


def test_a_template_may_use_macros_of_another_file(monkeypatch):
    files = {
        "a": '{% from "b" import bold %}{{ bold(name) }}{{ style }}',
        "b": "{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}",
    }
    monkeypatch.setattr(templates, "_read", files.__getitem__)
    assert templates.render("a", name="<i>", style=Markup("p > b")) == "<b>&lt;i&gt;</b>p > b"
    with pytest.raises(jinja2.UndefinedError, match="style"):
        templates.render("a", name="x")


def test_files_of_the_package_are_written_as_they_are():
    assert isinstance(templates.text("page.css"), Markup) and "main > section" in templates.text("page.css")
