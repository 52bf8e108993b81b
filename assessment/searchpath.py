"""Folders that the repository itself puts on Python's search path: for pytest, in scripts, images and pipelines.

Imports start there as well as at the root and beside the file that imports.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_PLACES = (
    "Makefile", "*.mk", "*.sh", "Dockerfile*", "*compose*.y*ml", ".github/workflows/*.y*ml", ".gitlab-ci.yml", ".env*",
    "tox.ini", "justfile", "Procfile", ".envrc",
)  # fmt: skip
_SETTINGS = ("pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini")
_VARIABLE = re.compile(r"\bPYTHONPATH\b[\"']?\s*(?::=|[=: ])\s*[\"']?([^\s\"';&]+)")
_PYTEST = re.compile(r"^pythonpath\s*=\s*(\[[^\]]*\]|.*(?:\n[ \t]+\S+)*)", re.M)
_WORD = re.compile(r"[\w./-]+")
_ABOVE = re.compile(r"^(\.{0,2}/)+|^\.$")


def declared_roots(repo: Repo) -> tuple[str, ...]:
    """Dotted folders of the repository that some file puts on the search path, in the order of their names."""
    words: list[str] = []
    for file in repo.glob(*_PLACES):
        if "PYTHONPATH" in file.text:
            words += [word for _, match in file.find(_VARIABLE) for word in match[1].split(":")]
    for file in repo.glob(*_SETTINGS):
        if "pythonpath" in file.text:
            words += [word for match in _PYTEST.finditer(file.text) for word in _WORD.findall(match[1])]
    folders = {file.folder for file in repo.files.values() if file.suffix == ".py"}
    found: set[str] = set()
    for word in words:
        path = _ABOVE.sub("", word.rpartition("}/")[2] or word).strip("/")
        inside = path.partition("/")[2]  # of /app/lib in an image
        found.update([name for name in (path, inside) if name and _holds_code(folders, name)][:1])
    return tuple(sorted(name.replace("/", ".") for name in found))


def _holds_code(folders: set[str], name: str) -> bool:
    return any(folder == name or folder.startswith(f"{name}/") for folder in folders)
