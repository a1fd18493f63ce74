"""Every relative link of the documentation leads somewhere; the website builds."""

import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import markdown
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])


class Page(HTMLParser):
    """Links of a page, and the ids that a link to it can name."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(markdown.markdown(path.read_text(), extensions=["toc", "attr_list", "tables", "fenced_code"]))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("href", "src") if name in attrs]
        self.ids |= {attrs[name] for name in ("id", "name") if name in attrs}


@cache
def read(path: Path) -> Page:
    return Page(path)


def broken(path: Path) -> list[str]:
    """Relative links of a page whose file or anchor is not there."""
    result = []
    for link in read(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / parts.path).resolve() if parts.path else path
        if not target.exists() or (parts.fragment and parts.fragment not in read(target).ids):
            result.append(link)
    return result


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert broken(path) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "other.md").write_text("## A heading\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-heading) [b](other.md#absent) [c](absent.md) [d](#absent) [e](https://example.org/x)\n"
    )
    assert broken(page) == ["other.md#absent", "absent.md", "#absent"]


def test_the_website_builds(tmp_path):
    """`make docs`: a warning of mkdocs or mkdocstrings is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site" / "api.html").is_file()
    assert (tmp_path / "site" / "contributing.html").is_file()
