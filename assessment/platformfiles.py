"""What the settings of single tools ask to be installed: nbdev's settings.ini, BentoML's bentofile and images."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.declarations import Declared, requirement

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

KINDS = ("nbdev", "bentoml")
_NBDEV = re.compile(r"^(pip_|dev_)?requirements\s*=\s*(.*)$")


def declared_in(repo: Repo) -> Iterator[Declared]:
    """Every package that such a file names, at its line."""
    for file in repo.glob("settings.ini"):
        yield from _nbdev(file)
    for file in repo.glob("bentofile*.yaml", "bentofile*.yml"):
        yield from _bentofile(repo, file)
    for module in repo.modules:
        if b"python_packages" in module.file.data:
            yield from _images(module)


def _nbdev(file: File) -> Iterator[Declared]:
    if "lib_name" not in file.text:
        return
    for number, line in enumerate(file.lines, 1):
        if match := _NBDEV.match(line):
            group = "dev" if match[1] == "dev_" else ""
            for word in match[2].split():
                found = requirement(word, file.site(number), file.path, "nbdev", group=group)
                if found:
                    yield found


def _bentofile(repo: Repo, file: File) -> Iterator[Declared]:
    for document in repo.yaml(file).documents:
        listed = document.get("python", "packages")
        for node in listed.items if listed is not None else ():
            found = requirement(node.text, node.site(), file.path, "bentoml") if node.kind == "scalar" else None
            if found:
                yield found


def _images(module: Module) -> Iterator[Declared]:
    """`bentoml.images.Image().python_packages("torch")`, which brings BentoML itself as well."""
    for call in module.calls:
        if isinstance(call.node.func, ast.Attribute) and call.node.func.attr == "python_packages":
            for text in ("bentoml", *(module.literal(argument) for argument in call.node.args)):
                found = requirement(text, call.site(), module.path, "bentoml") if isinstance(text, str) else None
                if found:
                    yield found
