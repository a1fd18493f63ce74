"""Pages of the website that docs/ does not hold: CONTRIBUTING.md, CHANGELOG.md and each source file that is linked.

Pages link to code as a reader of the repository needs it, `../dima_jax/student/planner.py`. On the website such a link
leads to a page that shows the file, so that it works without knowing where the repository is hosted.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
GENERATED = ("CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s:]+)\)")  # of a file, not of an address


def target(link: str, base: str) -> Path | None:
    """The file of the repository that a link means, or None: it is in docs/, or a mere anchor. base: the page's folder."""
    path = link.partition("#")[0]
    inside = posixpath.normpath(posixpath.join(base, path)) if path else "docs/"
    return None if inside.startswith("docs/") else ROOT / inside


def rewrite(text: str, base: str) -> str:
    """Links out of docs/ lead to generated pages; those to folders become plain text. base: as in `target`."""
    up = posixpath.relpath("docs", base) if base else "."

    def new(match: re.Match) -> str:
        words, link = match.groups()
        path = target(link, base)
        if path is None:
            return match[0] if base else f"[{words}]({link.removeprefix('docs/')})"
        inside = path.relative_to(ROOT).as_posix()
        if inside in PAGES:
            return f"[{words}]({posixpath.normpath(f'{up}/{PAGES[inside]}')}{''.join(link.partition('#')[1:])})"
        if path.is_dir():
            return words
        return f"[{words}]({posixpath.normpath(f'{up}/source/{inside}.md')})"

    return LINK.sub(new, text)


def linked_files() -> set[str]:
    """Files of the repository outside docs/ that some page links to."""
    texts = [(path.read_text(), path.parent.relative_to(ROOT).as_posix()) for path in (ROOT / "docs").rglob("*.md")]
    texts += [((ROOT / name).read_text(), "") for name in GENERATED]
    paths = {target(link, base) for text, base in texts for _, link in LINK.findall(text)} - {None}
    return {path.relative_to(ROOT).as_posix() for path in paths if path.is_file()} - set(PAGES)


def on_files(files, config):
    """Adds the generated pages."""
    for name in GENERATED:
        files.append(File.generated(config, PAGES[name], content=rewrite((ROOT / name).read_text(), "")))
    for name in sorted(linked_files()):
        code = (ROOT / name).read_text()
        kind = {".py": "python", ".yml": "yaml", ".toml": "toml"}.get(Path(name).suffix, "text")
        page = f"---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n````{kind}\n{code}\n````\n"
        files.append(File.generated(config, f"source/{name}.md", content=page))
    return files


def on_page_markdown(markdown, page, **_):
    """Makes links of the pages in docs/ lead to generated pages."""
    base = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri)))
    return markdown if page.file.generated_by else rewrite(markdown, base)
