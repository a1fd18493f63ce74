"""The findings of a check: printed in groups, a few lines each, and stored as JSON."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from data_prep.root_check.places import places
from data_prep.root_check.problems import ERROR, KINDS, SKIP, Problem, Rows
from data_prep.root_check.schema import Table
from dima_jax.errors import UserError

SHOWN = 3  # lines of a group that are printed
STORED = 100  # lines of a group that are stored


class Finding(NamedTuple):
    """A rule that some rows or files break. lines: the first STORED of them, each with file, place and detail."""

    kind: str
    file: str
    rule: str
    count: int
    lines: list[str]
    remedy: str


class Report:
    """The findings of one root, or of the records in one folder, in the order of the check.

    version: of the root, "" for records; rows: of its tables. lister: the command that prints all findings.
    """

    def __init__(self, root: str, version: str = "", lister: str = "python -m data_prep.check"):
        self.root, self.version, self.lister = root, version, lister
        self.rows: dict[str, int] = {}
        self.findings: list[Finding] = []

    def add(self, problems: Iterable[Problem], tables: Mapping[str, Table] = MappingProxyType({})) -> None:
        self.findings += [_finding(problem, tables) for problem in problems if _count(problem)]

    def add_error(self, error: UserError) -> None:
        file, _, rest = str(error).partition(": ")
        line, _, remedy = str(error).rpartition("; ")
        self.findings.append(
            Finding(ERROR, file, rest.partition(" (")[0], 1, [line or str(error)], remedy if line else "")
        )

    def of_kind(self, *kinds: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind in kinds]

    def refuse(self, is_strict: bool = False) -> None:
        """Raises a UserError of one line, the first error's, if there is any; is_strict: or the first skip's."""
        bad = self.of_kind(ERROR) or (self.of_kind(SKIP) if is_strict else [])
        if bad:
            rest = sum(finding.count for finding in bad) - 1
            more = f" (and {rest} more: `{self.lister}` lists them)" if rest else ""
            raise UserError("; ".join(filter(None, (bad[0].lines[0], bad[0].remedy))) + more)

    def text(self) -> str:
        """The findings, the gravest first, each group with its first SHOWN lines."""
        lines = []
        for finding in sorted(self.findings, key=lambda finding: KINDS.index(finding.kind)):
            lines.append(f"{finding.kind}: {finding.file}: {finding.rule} ({finding.count}); {finding.remedy}")
            lines += [f"    {line}" for line in finding.lines[:SHOWN]]
            if finding.count > SHOWN:
                lines.append(f"    and {finding.count - SHOWN} more")
        counts = ", ".join(f"{sum(f.count for f in self.of_kind(kind))} {kind}s" for kind in KINDS)
        name = " ".join(filter(None, (self.root, self.version)))
        return "\n".join([*lines, f"{name}: {counts}"])

    def content(self) -> dict:
        """What is stored: {"root", "version", "rows": {table: rows}, "findings": [{"kind", "file", ...}]}."""
        findings = [finding._asdict() for finding in self.findings]
        return {"root": self.root, "version": self.version, "rows": self.rows, "findings": findings}


def _count(problem: Problem) -> int:
    return len(problem.numbers if isinstance(problem, Rows) else problem.lines)


def _finding(problem: Problem, tables: Mapping[str, Table]) -> Finding:
    if not isinstance(problem, Rows):
        lines = problem.lines[:STORED]
        return Finding(problem.kind, problem.file, problem.rule, len(problem.lines), lines, problem.remedy)
    table = tables[problem.table]
    numbers = problem.numbers[:STORED].tolist()
    rows = table.some_rows(set(numbers))
    where = places(tables, table, [rows[n] for n in numbers])
    lines = [f"{table.path}: {place}: {problem.detail(rows[n], n)}" for n, place in zip(numbers, where, strict=True)]
    return Finding(problem.kind, str(table.path), problem.rule, len(problem.numbers), lines, problem.remedy)
