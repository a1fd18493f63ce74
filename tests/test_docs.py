"""What pages and code refer to is in the repository: files, sections, commands, flags, config keys; the website builds."""

import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import markdown
import pytest

from dima_jax.configs import base

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
# Notes that the project began with and that no reader of the repository has.
ABSENT = re.compile(
    r"vad-spec|dima-paper|\bdesign(\.md|,? (section|decisions))|((?<!scores/)protocols|style|data-stack|sumo|aot)\.md"
)


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


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_nothing_refers_to_a_document_that_is_not_here():
    found = []
    for path in tracked("*.py", "*.md", "*.toml", "*.txt", "*.yml", "*.ipynb", "Makefile", ".ci/*"):
        if path != Path(__file__):
            lines = enumerate(path.read_text().splitlines(), 1)
            found += [f"{path.relative_to(ROOT)}:{n}: {line.strip()}" for n, line in lines if ABSENT.search(line)]
    assert found == []


def test_pages_that_code_refers_to_exist():
    missing = []
    for path in tracked("*.py", "*.toml", "*.txt", "Makefile"):
        for name, section in re.findall(r"\b(docs/[\w/-]+\.md|[A-Z]+\.md)(?:#([\w-]+))?", path.read_text()):
            page = ROOT / name
            if not page.is_file() or (section and section not in read(page).ids):
                missing.append(f"{path.relative_to(ROOT)}: {name}#{section}")
    assert missing == []


def commands() -> list[str]:
    """Every `python -m` line of a fenced block of the pages, once."""
    found = []
    for page in PAGES:
        for block in re.findall(r"(?ms)^```(?:bash|sh|console)?\n(.*?)^```", page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.search(r"python -m ((?:dima_jax|data_prep|benchmarks|tests)\b[^#|>&]*)", line):
                    found.append(match[1].strip())
    return sorted(set(found))


@cache
def help_of(module: str) -> str:
    result = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_pages_are_understood(command):
    """The module is there, its help knows every flag, the config file exists and has every key that is set."""
    module, *words = shlex.split(command)
    words = words[: words.index("--")] if "--" in words else words  # what follows is another program's
    text, config = help_of(module), None
    for word in words:
        if not word.startswith("--"):
            continue
        flag, _, value = word.partition("=")
        if flag == "--config":
            config = runpy.run_path(str(ROOT / value))["get_config"]()
        elif flag.startswith("--config."):
            node = config if config is not None else base.get_config()
            for key in flag.split(".")[1:]:
                assert key in node, f"{flag}: no such key"
                node = node[key]
        else:
            assert f"{flag}\n" in text or f"--{flag[2:].removeprefix('no')}\n" in text, f"{module} has no {flag}"
