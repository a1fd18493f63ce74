"""Elements of drawings: escaped, and no longer than they need to be."""

import numpy as np
from markupsafe import Markup

from dima_jax.html_report import svg


def test_texts_and_attributes_are_escaped():
    found = svg.element(
        "g", svg.element("title", "<b>&"), "a<b", class_='x" onload="y', stroke_width=1, data_series=None
    )
    assert found == Markup('<g class="x&#34; onload=&#34;y" stroke-width="1"><title>&lt;b&gt;&amp;</title>a&lt;b</g>')


def test_numbers_are_short():
    assert [svg.number(one) for one in (1.0, -0.001, 2.346, 100.0, -3.5)] == ["1", "0", "2.35", "100", "-3.5"]
    assert svg.points(np.array([[1.0, -2.0], [0.125, 10.0]])) == "1,-2 0.12,10"
    assert 'viewBox="0 -1 2 3"' in svg.picture((0, -1, 2, 3), "t") and "<title>t</title>" in svg.picture(
        (0, 0, 1, 1), "t"
    )
