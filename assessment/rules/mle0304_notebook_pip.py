"""M3-04: packages that a notebook installs without saying which version."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_INSTALL = re.compile(
    r"^(?:%%(?:bash|sh|capture)\b.*)?[!%]?\s*(?:sudo\s+)?(?:(?:\S*python[\d.]*|[\"']?(?:\$|\{)sys\.executable\}?[\"']?)\s+-m\s+)?(?:uv\s+)?(pip[\d.]*|conda|mamba)"
    r"\s+(?:-{1,2}\w+\s+)*install\s+(.*)$"
)
_VALUED = frozenset(
    "-r --requirement -c --constraint -i --index-url --extra-index-url -f --find-links -t --target --channel -n --name "
    "--prefix --trusted-host --root -e --editable --progress-bar --timeout --python".split()
)
# Tools whose version no result depends on.
_TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "jupyter", "notebook", "jupyterlab", "ipykernel", "ipywidgets"})


def _has_notebooks(repo: Repo) -> bool:
    return any(module.is_notebook for module in repo.modules)


@rule(
    id="MLE0304",
    name="notebook-pip",
    step=3,
    severity=MEDIUM,
    title="Notebook installs whatever version is newest",
    why="Each run may get other versions, so that results change or the notebook stops working without an edit.",
    remedy="Pin the version (`pip install name==1.2.3`), or install from a requirements file that does.",
    source="observed",
    applies=_has_notebooks,
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if not module.is_notebook or "test" in module.file.roles:
            continue
        sites: list[Site] = []
        names: list[str] = []
        for line, text in module.source.magics:
            free = _unpinned(text)
            if free:
                sites.append(module.source.site(line))
                names += [name for name in free if name not in names]
        if sites:
            shown = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
            yield Hit(sites, title=f"Notebook installs whatever version is newest: {shown}", anchor=module.path)


def _unpinned(text: str) -> list[str]:
    """Packages that an install line names without a version."""
    match = _INSTALL.match(text)
    if match is None:
        return []
    try:
        words = shlex.split(match[2].split("#")[0], comments=False)
    except ValueError:
        words = match[2].split()
    found = []
    skip = False
    for word in words:
        if skip or word in _VALUED:
            skip = not skip and word in _VALUED
            continue
        if word in ("&&", "||", ";", "|", ">", ">>", "2>&1"):
            break
        if word.startswith(("-", "$", "{", ".", "/", "git+", "http", ">", "~")) or re.search(
            r"[=<>@{}]|\.whl$|/", word
        ):
            continue
        name = word.split("[")[0].rstrip(";,")
        if name and name.lower() not in _TOOLS and re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
            found.append(name)
    return found
