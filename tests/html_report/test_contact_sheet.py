"""The contact sheet as a page: findings first, nothing fetched, nothing of the data becomes markup."""

import re

import numpy as np
import pytest
from markupsafe import Markup

from dima_jax.errors import UserError
from dima_jax.html_report import contact_sheet, distributions, images
from dima_jax.html_report.contact_sheet import Finding, KeyFrame, Numbers, Sheet, View
from tests.html_report import fake_page
from tests.html_report.test_page import Page

HOSTILE = "<script>alert(1)</script>"


def sheet(findings=()) -> Sheet:
    views = [
        View(images.picture("CAM_FRONT", fake_page.jpeg()), Markup('<svg role="img"></svg>')),
        View(images.picture(HOSTILE, b"no picture"), Markup("<svg></svg>")),
    ]
    frame = KeyFrame("t0", HOSTILE, ["split val"], [f"error: {HOSTILE}"], None, views, [(HOSTILE, "Yes.")])
    chart = distributions.spread("Speed", "m/s", np.arange(9.0))
    return Sheet(HOSTILE, [f"val: 1 key frame of {HOSTILE}"], [*findings], [Numbers("Ego", [chart], [])], [frame])


def test_findings_come_first_and_errors_are_open(tmp_path):
    error = Finding("error", "images are whole", 30, [f"{HOSTILE}: gray"], "copy it again")
    path = contact_sheet.write(tmp_path / "new", sheet([error, error._replace(kind="skip", count=1)]))
    page = Page(path.read_text())
    hidden = [tag for tag, attrs in page.elements if "skip" in attrs.get("class", "").split()]
    assert hidden == ["a"]  # the class of the link that page.css hides
    text = " ".join("".join(page.texts).split())
    assert "30 errors, 1 skip, 0 notes." in text and "And 29 more.Remedy: copy it again." in text
    assert text.index("images are whole") < text.index("Numbers Ego") < text.index("split val")
    assert ["open" in one for one in page.all("details")] == [True, False]


def test_hostile_names_stay_text_and_nothing_is_fetched():
    text = contact_sheet.render(sheet())
    page = Page(text)
    assert HOSTILE in "".join(page.texts) and len(page.all("script")) == 1
    assert "Nothing was found: no errors, no skips, no notes." in text and "It cannot be drawn from above." in text
    assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+|url\(|@import|<iframe|<object", text)
    (picture,) = page.all("img")
    assert picture["src"].startswith("data:image/jpeg;base64,") and "This picture cannot be read." in text
    assert "default-src 'none'" in next(one["content"] for one in page.all("meta") if "http-equiv" in one)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/index\.html: File exists"):
        contact_sheet.write(tmp_path / "file", sheet())
