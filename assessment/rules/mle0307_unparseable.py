"""M3-07: files that cannot be parsed: Python 2, notebook magics in `.py`, merge markers, broken notebooks and YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.source import ParseError

_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{%[^{}]*%\}|<%[^<>]*%>")
_MERGE = re.compile(r"^(<{7} |={7}$|>{7} |\|{7} )")
_MAGIC = re.compile(r"^\s*(%{1,2}[a-zA-Z]\w*|![a-zA-Z./])")
_PYTHON2 = re.compile(
    r"^\s*(print\s+[^=(\s]|print\s+\(.*\)\s*%|exec\s+[\"'\w]|raise\s+\w+\s*,)|except\s+[\w.()]+\s*,\s*\w+\s*:|<>|`"
)
# Pages and what only helps the authors.
_FOR_AUTHORS = re.compile(
    r"(^|/)(_config|mkdocs|\.readthedocs|_data/[^/]+|codecov|\.codecov|\.pre-commit-(config|hooks))\.ya?ml$"
)
_OLD = "Python 2 syntax"
_ASYNC = "async is a keyword since Python 3.7"
# Syntax of Python 3.12 and later, which the parser of an older Python takes for an error.
_NEWER = re.compile(
    r"^\s*type\s+\w+(\[.*\])?\s*=|^\s*(async\s+)?def\s+\w+\[|^\s*class\s+\w+\[|\b[tT]r?[\"']|except\s+\w+(\s*,\s*[A-Z]\w*)+\s*:"
)

_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # what a redirection in PowerShell writes


@rule(
    id="MLE0307",
    name="unparseable",
    step=3,
    severity=HIGH,
    title="File cannot be parsed",
    why="The file cannot run, be imported, linted or tested as it stands.",
    remedy="Correct the syntax at this line, and let CI parse every file (`python -m compileall`, `ruff check`).",
    source="observed",
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.all_modules:
        if "test" in module.file.roles:
            continue
        if module.file.data[:2] in _UTF16 and not module.is_notebook:
            title = "File cannot be parsed: it is UTF-16, which Python does not read"
            yield Hit([Site(module.path, 1, 1, "", None, module.path)], title=title, anchor=module.path)
        elif repo.facts[module.path].errors:
            yield from _of_module(repo, module)
    copies: dict[tuple[str, bytes], list[Site]] = {}  # a file that lies in several folders is one cause
    for site, reason in repo.parse_problems:
        title = f"{site.path.rpartition('/')[2]} cannot be parsed: {reason}"
        copies.setdefault((title, repo.files[site.path].data), []).append(site)
    for (title, _), sites in copies.items():
        severity = MEDIUM if _FOR_AUTHORS.search(sites[0].path) else HIGH
        yield Hit(sites, severity=severity, title=title, anchor=sites[0].path)


def _of_module(repo: Repo, module: Module) -> Iterator[Hit]:
    from ml_engineer.assessment.pythons import may_run_on

    errors = [error for error in module.source.errors if not _is_newer(module, error)]
    if module.file.unread or not errors or _is_template(module):
        return
    judged = [(_reason(module, error), error) for error in errors]
    old = judged[0][0] in (_OLD, _ASYNC) and not module.is_notebook
    severity: SeverityName = HIGH
    if module.is_notebook and not any(_has_run(module, error) for error in errors):
        severity = LOW
    elif judged[0][0] == _ASYNC and not may_run_on(repo.dependencies, "3.7", near=module.path):
        severity = MEDIUM  # what is pinned holds it at a Python that still reads the line
    yield Hit(
        [_site(module, error, reason) for reason, error in judged],
        severity=severity,
        title=f"{'Cell' if module.is_notebook and module.source.cells else 'File'} cannot be parsed: {judged[0][0]}",
        anchor=judged[0][0] if old else module.path,  # one port to Python 3 mends all files
    )


def _line(module: Module, error: ParseError) -> str:
    lines = module.source.lines or module.file.lines
    return lines[error.line - 1] if error.line <= len(lines) else ""


def _is_template(module: Module) -> bool:
    return any(_TEMPLATE.search(line) for line in module.file.lines) and not module.is_notebook


def _is_newer(module: Module, error: ParseError) -> bool:
    """Whether a newer Python than the one that runs this may accept the line."""
    if re.search(r"empty expression|single '}'", error.message):
        return False  # no Python takes these
    return error.message.startswith("f-string") or bool(_NEWER.search(_line(module, error)))


def _has_run(module: Module, error: ParseError) -> bool:
    """Whether the broken cell was meant to run: it was executed, or the file is no notebook at all."""
    cell = module.source.cell_at(error.line)
    return cell is None or cell.execution_count is not None


def _reason(module: Module, error: ParseError) -> str:
    line = _line(module, error)
    if any(_MERGE.match(text) for text in module.source.lines):
        return "it holds markers of an unfinished merge"
    if not module.is_notebook and _MAGIC.match(line):
        return "notebook magic in a .py file"
    if _PYTHON2.search(line) or "Missing parentheses in call to 'print'" in error.message:
        return _OLD
    if re.search(r"[(,]\s*async\s*=[^=]", line):
        return _ASYNC
    return error.message


def _site(module: Module, error: ParseError, reason: str) -> Site:
    if module.is_notebook and not module.source.cells:
        return module.file.site(error.line)
    if "merge" in reason:
        marked = (number for number, text in enumerate(module.source.lines, 1) if _MERGE.match(text))
        return module.source.site(next(marked, error.line))
    return module.source.site(error.line)
