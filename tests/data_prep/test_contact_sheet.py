"""The contact sheet of records: which key frames, what is drawn of them, and how it looks in a browser."""

import re
import shutil

import cv2
import numpy as np
import pytest

from data_prep import contact_sheet, validation
from data_prep.record_check import rules
from data_prep.record_check.rules import Problem
from tests import tiny_root
from tests.data_prep.test_validation import permute, planted
from tests.html_report.test_page import CHROMIUM, Page


@pytest.fixture(scope="module")
def checked(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    questions = str(tiny_root.drivelm(folder / "questions.json"))
    return validation.validate(str(tiny_root.write_records(dataset, folder / "records", questions)))


@pytest.fixture(scope="module")
def made(checked, tmp_path_factory):
    return contact_sheet.write(tmp_path_factory.mktemp("page"), checked, 4)


def test_the_page_has_its_pictures_and_drawings(made):
    text = made.read_text()
    page = Page(text)
    frames = [one for one in page.all("article") if one["class"] == "frame"]
    assert len(frames) == 4 and len(page.all("img")) == 6 * 4
    assert all(one["src"].startswith("data:image/jpeg;base64,") for one in page.all("img"))
    drawings = [one["class"] for one in page.all("svg")]
    assert drawings.count("overlay") == 6 * 4 and drawings.count("bev") == 4
    assert len(re.findall(r'class="box (?:vehicle|small|thing)', text)) > 20 and text.count('class="line divider"') > 10
    assert 'class="plan' not in text and text.count('class="recorded"') == 4
    assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+|url\(|@import", text)
    assert "What it is told minus ego poses" in text and "points of map lines in an image" in text
    assert "What is the status of &lt;c1,CAM_FRONT,812.0,500.5&gt;?" in text and text.count(">c1</text>") == 1


def test_splits_take_turns_and_questions_come_first(checked):
    train, val = checked.splits
    found = contact_sheet.chosen(checked.splits, 3)
    assert [(one.split.name, one.record) for one in found] == [("train", 0), ("train", 2), ("val", 5)]
    assert train.scenes["scene-0061"].asked == [2]
    assert len({(one.split.name, one.record) for one in contact_sheet.chosen(checked.splits, 99)}) == 22
    assert contact_sheet.chosen(checked.splits, 0) == [] == contact_sheet.chosen([], 5)
    assert val.scenes["scene-0103"].asked == []


def test_a_key_frame_with_a_problem_is_shown(dataset, tmp_path):
    def gray(frame):
        if frame["frame_index"] == 7:
            image = cv2.imencode(".jpg", np.full((*tiny_root.IMAGE_SHAPE, 3), 128, np.uint8))[1].tobytes()
            frame["cameras"]["images"] = [image, *frame["cameras"]["images"][1:]]

    checked = validation.validate(str(planted(dataset, tmp_path, gray)), decode_share=1.0)
    (one,) = contact_sheet.chosen(checked.splits, 1)
    assert one.record == 7
    shown = contact_sheet.key_frame(one)
    assert len(shown.wrong) == 1 and "skip: CAM_FRONT, samples/CAM_FRONT/" in shown.wrong[0]
    assert shown.above is not None and len(shown.views) == 6


def test_what_cannot_be_drawn_is_left_out(dataset, tmp_path):
    def spoil(frame):
        frame["cameras"]["sensor2lidar"][0] = 0.0
        frame["cameras"]["images"] = [b"", *frame["cameras"]["images"][1:]]
        frame["agents"]["boxes"][0, 0] = np.nan
        frame["map"]["lengths"][0] += 1

    checked = validation.validate(str(planted(dataset, tmp_path, spoil, permute)), decode_share=1.0)
    rules_broken = {problem.rule for problem in checked.splits[0].problems}
    assert {rules.POSE, rules.IMAGE, rules.BOX, rules.MAP} <= rules_broken
    text = contact_sheet.write(tmp_path / "page", checked, 2).read_text()
    assert text.count("This picture cannot be read.") == text.count("It cannot be drawn from above.") == 2
    assert not re.search(r'="[^"]*\bnan\b|>nan', re.sub('base64,[^"]*', "", text))


def test_scenes_with_findings_and_new_tags_come_first(checked):
    train = checked.splits[0]
    split = validation.Split("train", train.reader)
    for name, tags in (("a", ("x",)), ("b", ("x",)), ("c", ("y",)), ("d", ("x",))):
        split.scenes[name] = scene = validation.Scene.__new__(validation.Scene)
        scene.tags, scene.frames, scene.asked = tags, [0, 1, 2], []
    split.problems = [Problem(rules.SPEED, "d", "", "too fast"), Problem(rules.COMMAND, "b", "", "")]
    assert [one.scene for one in contact_sheet._ordered(split)][:4] == ["d", "c", "a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(made, scheme, width):
    """No error, no request, no scrolling to the side; every picture is there, and its drawing lies on it."""
    if CHROMIUM is None or not shutil.which(CHROMIUM):
        pytest.skip("no Chromium; apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said = []
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("request", lambda one: said.append(one.url) if one.url[:5] not in ("file:", "data:") else None)
        view.goto(f"file://{made}")
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        view.evaluate("for (const one of document.images) one.loading = 'eager'")
        there = "Promise.all([...document.images].map((one) => one.decode())).then(() => document.images.length)"
        assert view.evaluate(there) == 24
        apart = """[...document.querySelectorAll('.shot')].map((one) => {
            const [a, b] = [...one.children].map((part) => part.getBoundingClientRect());
            return Math.abs(a.x - b.x) + Math.abs(a.y - b.y) + Math.abs(a.width - b.width) + Math.abs(a.height - b.height);
        })"""
        assert max(view.evaluate(apart)) < 1
        browser.close()
    assert said == []
