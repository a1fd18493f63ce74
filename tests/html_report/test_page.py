"""The page: what is in it, that nothing of the data becomes markup, and, where there is a Chromium, how it behaves."""

import base64
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import jinja2.meta
import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.html_report import page, worst
from tests.html_report import fake_page

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Elements with their attributes; what is opened is closed; texts of headings and of all."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.texts, self.tables = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"caption": 0, "col": 0, "rows": []})
        elif "table" in self.open:
            table = self.tables[-1]
            table["caption"] += tag == "caption"
            if "tbody" in self.open:
                if tag == "tr":
                    table["rows"].append([])
                elif tag in ("th", "td"):
                    table["rows"][-1].append((tag, dict(attrs).get("scope"), int(dict(attrs).get("colspan", 1))))
            else:
                table["col"] += tag == "th" and dict(attrs).get("scope") == "col"

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    result, frames, truth = fake_page.scored()
    path = page.write(
        tmp_path_factory.mktemp("page"), result, frames, truth, fake_page.pictures, fake_page.answers(truth)
    )
    return path, result, frames, Page(path.read_text())


def test_every_table_has_headers(made):
    tables = made[3].tables
    assert len(tables) > 10
    for table in tables:
        assert table["caption"] == 1 and table["col"] > 1 and table["rows"]
        for row in table["rows"]:
            assert row[0][:2] in (("th", "row"), ("th", "rowgroup")) and sum(cell[2] for cell in row) == table["col"]


def test_every_picture_is_in_the_page_and_has_words(made):
    pictures = made[3].all("img")
    frames = [one for one in made[3].all("article") if one["class"] == "frame"]
    assert frames and len(pictures) == 5 * len(frames)  # the sixth camera's file is no picture
    for one in pictures:
        kind, _, data = one["src"].partition(",")
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_COLOR)
        assert kind == "data:image/jpeg;base64" and pixels.shape[1] == 480 == int(one["width"]) and one["alt"]
    assert "".join(made[3].texts).count("This picture cannot be read.") == len(frames)
    drawings = [one for one in made[3].all("svg") if "aria-hidden" not in one]
    assert len(drawings) > len(frames) and all(one["role"] == "img" for one in drawings)


def test_nothing_is_fetched(made):
    text = made[0].read_text()
    assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+|url\(|@import|<iframe|<object", text)
    links = [one for tag in ("a", "link", "img", "script") for one in made[3].all(tag)]
    targets = [one.get("href") or one.get("src") for one in links]
    assert all(one is None or one.startswith(("#", "data:")) for one in targets)
    ids = [attrs["id"] for _, attrs in made[3].elements if "id" in attrs]
    assert len(ids) == len(set(ids)) and {one[1:] for one in targets if one and one[0] == "#"} <= set(ids)
    assert "default-src 'none'" in next(one["content"] for one in made[3].all("meta") if "http-equiv" in one)


def test_hostile_names_stay_text(made):
    text = "".join(made[3].texts)
    assert fake_page.HOSTILE[0] in text and fake_page.HOSTILE[1] in text and "A <script>car</script>." in text
    assert len(made[3].all("script")) == 1 and "onerror" not in str(made[3].all("img"))
    assert not [name for _, attrs in made[3].elements for name in attrs if name.startswith("on")]


def test_everything_is_told(made):
    _, result, frames, parsed = made
    text = " ".join("".join(parsed.texts).split())
    for name, protocol in result["protocols"].items():
        assert name in text and protocol["definition_hash"] in text
        assert protocol["definition"]["mask_rule"] in text
    for sentence in result["verdicts"]:
        assert sentence.rpartition(". ")[2].split(" frames")[0] in text
    assert "shuffled <cameras>" in text and "0.10 to 0.40" in text
    chosen = worst.choose(result, frames.arrays, 0)
    assert len([one for one in parsed.all("article") if one["class"] == "frame"]) == len(chosen) > 0
    assert text.index("Verdicts") < text.index("Headline numbers")


def test_what_is_missing_is_said(tmp_path):
    result, frames, truth = fake_page.scored()
    name = "uniad"
    without = {key: array for key, array in frames.arrays.items() if key.split("/")[0] != name and key != "plans"}
    lacking = result["protocols"][name] | {"available": False, "why_not": "needs <maps>"}
    result = result | {
        "protocols": result["protocols"] | {name: lacking},
        "verdicts": [],
        "audit": [],
        "comparisons": 0,
    }
    result["scores"] = {key: one for key, one in result["scores"].items() if key != name}
    parsed = Page(page.write(tmp_path, result, frames._replace(arrays=without), truth).read_text())
    text = "".join(parsed.texts)
    assert "Not available: needs <maps>." in text and "No comparison can be made." in text and not parsed.all("img")


def test_what_is_no_number_is_not_sorted_as_one(tmp_path):
    """In scores.json it is null; in the result from which that is written it may be NaN."""
    result, frames, truth = fake_page.scored()
    perception = {"planner": "ours", "coverage": {"scored": 1, "of": 1}, "scenes": 1, "protocols": {"map": "chamfer"}}
    perception |= {"why_not": {}, "intervals": {"map": {}}, "scores": {"map": {"mAP": np.nan, "AP": np.float32(0.5)}}}
    distances = frames.arrays["stp3_vad/l2"].copy()
    distances[1] = np.nan
    frames = frames._replace(arrays=frames.arrays | {"stp3_vad/l2": distances})
    parsed = Page(page.write(tmp_path, result | {"perception": perception}, frames, truth).read_text())
    numbers = [attrs["data-v"] for _, attrs in parsed.elements if attrs.get("data-t") == "n"]
    assert "0.5" in numbers and np.isfinite(np.array(numbers, float)).all()
    assert "n/a" in parsed.texts and "nan" not in parsed.texts


def test_the_template_reads_all_that_it_is_given(monkeypatch):
    given = {}
    monkeypatch.setattr(jinja2.Template, "render", lambda self, **named: given.update(named) or "")
    page.render(*fake_page.of_paths_alone(), None, None)
    text = (Path(page.__file__).parent / "page.html.j2").read_text()
    assert set(given) == jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(text))


def test_a_truth_of_paths_alone_has_a_page(tmp_path):
    """As those of other projects: nothing of scenes, agents or maps."""
    result, frames, truth = fake_page.of_paths_alone()
    parsed = Page(page.write(tmp_path, result, frames, truth).read_text())
    text = "".join(parsed.texts)
    assert "Planners are not ranked" in text and "Not available:" in text
    assert [one for one in parsed.all("article") if one["class"] == "frame"]


def test_same_scoring_same_page(made, tmp_path):
    result, frames, truth = fake_page.scored()
    again = page.write(tmp_path, result, frames, truth, fake_page.pictures, fake_page.answers(truth))
    assert again.read_bytes() == made[0].read_bytes()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/index\.html: File exists; give a file"):
        page.write(tmp_path / "file", *fake_page.scored())


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(made, scheme, width):
    """No error, no scrolling to the side, every picture there, tables sort, planners and metrics are chosen."""
    if CHROMIUM is None:
        pytest.skip("no Chromium; apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said = []
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on(
            "request", lambda request: said.append(request.url) if request.url[:5] not in ("file:", "data:") else None
        )
        view.goto(f"file://{made[0]}")
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        view.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        view.evaluate("for (const one of document.images) one.loading = 'eager'")
        there = "Promise.all([...document.images].map((one) => one.decode())).then(() => document.images.length)"
        assert view.evaluate(there) > 0
        column = (
            "[...document.querySelectorAll('#table-headline tbody tr')].map((row) => Number(row.cells[1].dataset.v))"
        )
        before = view.evaluate(column)
        view.locator("#table-headline thead tr:last-child button").nth(1).click()
        assert view.evaluate(column) == sorted(before)
        view.locator("#table-headline thead tr:last-child button").nth(1).click()
        assert view.evaluate(column) == sorted(before, reverse=True) != sorted(before)
        shown = (
            "[...document.querySelectorAll('.bev [data-series=\"2\"]')].filter((one) => !one.matches('.off')).length"
        )
        assert view.evaluate(shown) == 0
        view.locator("input[data-series='2']").check()
        assert view.evaluate(shown) > 0
        count = "[...document.querySelectorAll('.frame')].filter((one) => !one.hidden).length"
        everything = view.evaluate(count)
        view.select_option("#metric", "0")
        assert 0 < view.evaluate(count) < everything
        browser.close()
    assert said == []
