"""The page of a study: verdicts first, vector mode everywhere, nothing of the data becomes markup."""

import re

import pytest

from dima_jax.errors import UserError
from dima_jax.html_report import study_page
from tests.html_report.test_page import Page
from tests.study import fake

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def result():
    return fake.result(missing=("the same",))


def text_of(page: Page) -> str:
    return " ".join("".join(page.texts).split())


def test_sentences_come_first_and_say_vector_mode(result, tmp_path):
    page = Page(study_page.write(tmp_path / "new" / "index.html", result).read_text())
    text = text_of(page)
    sections = [attrs["id"] for attrs in page.all("section")]
    assert sections == ["verdicts", "effects", "scores", "curves", "arms"]
    assert text.startswith("Vector mode: A tiny study") and text.count("ector mode") >= 8
    assert text.index("better is better than alone") < text.index("each arm minus alone")
    assert "Not trained yet: the same." in text and "intervals are too narrow" in text
    assert "<b>better</b>" in text  # of the plan, as text
    for table in page.tables:
        assert table["caption"] == 1
        assert all(sum(span for _, _, span in row) == table["col"] for row in table["rows"])


def test_a_chart_for_each_group_of_frames_and_each_arm(result):
    page = Page(study_page.render(result))
    titles = [attrs["class"] for attrs in page.all("svg") if "role" in attrs]
    assert titles.count("chart differences") == 6 and titles.count("chart curves") == 6


def test_hostile_names_stay_text_and_nothing_is_fetched():
    off = {"alone": 0.5, "blind": 1.0, HOSTILE: 0.3}
    text = study_page.render(fake.result(off) | {"mode": HOSTILE})
    assert HOSTILE not in text and text.count("<script>") == 1
    assert not re.search(r"""(?:src|href)=["'](?!#|data:,)""", text) and "url(" not in text


def test_a_page_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/index\.html"):
        study_page.write(tmp_path / "file" / "index.html", result)


def test_without_the_reference_nothing_is_compared():
    text = text_of(Page(study_page.render(fake.result(missing=("alone",)))))
    assert "No comparison can be made: alone is not there yet." in text
