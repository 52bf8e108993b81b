"""M4-14, third part: a DAG uses what Airflow has removed in a version that may be installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

# Import path -> version that no longer has it.
_MODULES = {
    "airflow.contrib": "2.0",
    "airflow.operators.python_operator": "3.0",
    "airflow.operators.bash_operator": "3.0",
    "airflow.operators.dummy_operator": "3.0",
    "airflow.operators.dummy": "3.0",
    "airflow.operators.subdag": "3.0",
    "airflow.operators.email_operator": "3.0",
    "airflow.operators.http_operator": "2.0",
    "airflow.utils.dates": "3.0",
    "airflow.hooks.base_hook": "3.0",
}
_IMPORT = re.compile(r"^\s*(?:from|import)\s+(airflow(?:\.\w+)+)")


@rule(
    id="MLE0414",
    part="airflow-removed",
    name="airflow-removed",
    step=4,
    severity=MEDIUM,
    title="The DAG uses what Airflow has removed",
    why="With a release that the declared versions allow, the import fails and the DAG disappears from the scheduler.",
    remedy="Use the current names (schedule=, airflow.providers.standard …), or pin Airflow below that version.",
    source="Airflow release notes 2.0 and 3.0; ruff AIR rules",
    applies=lambda repo: bool(_modules(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in _modules(repo):
        sites: list[Site] = []
        names: list[str] = []
        for name, version, site in _uses(module):
            if _may_be_installed(repo, module, version):
                sites.append(site)
                names.append(f"{name} (gone in {version})")
        if sites:
            yield Hit(sites, title=f"The DAG uses {names[0]}")


def _modules(repo: Repo) -> list[Module]:
    return [m for m in repo.modules if "test" not in m.file.roles and b"airflow" in m.file.data]


def _uses(module: Module) -> Iterator[tuple[str, str, Site]]:
    if module.source.errors:  # by lines where the file does not parse
        for number, line in enumerate(module.source.lines, 1):
            found = _IMPORT.match(line)
            removed = _removed(found[1]) if found else None
            if found and removed:
                yield found[1], removed, module.site(number)
            elif re.search(r"\bschedule_interval\s*=", line):
                yield "schedule_interval", "3.0", module.site(number)
        return
    for item in module.imports:
        removed = _removed(item.target)
        if removed and not item.guarded:
            yield item.target.rpartition(".")[0], removed, module.site(item.node)
    for call in module.calls:
        if re.fullmatch(r"airflow\.(models\.|models\.dag\.|decorators\.|sdk\.)?(DAG|dag)", call.name):
            keyword = next((k for k in call.node.keywords if k.arg == "schedule_interval"), None)
            if keyword is not None:
                yield "schedule_interval", "3.0", module.site(keyword.value)


def _removed(target: str) -> str | None:
    return next((v for name, v in _MODULES.items() if target == name or target.startswith(f"{name}.")), None)


def _may_be_installed(repo: Repo, module: Module, version: str) -> bool:
    """Whether the declarations allow the version; where nothing is declared, anything may be installed."""
    allowed = repo.dependencies.may_be_at_least("apache-airflow", version, near=module.path)
    if allowed is None:  # not declared: the image may say
        files = repo.glob("*Dockerfile*", "*compose*.y*ml", "values.yaml")
        images = [m for f in files for m in re.findall(r"apache/airflow:(?:slim-)?(\d{1,3})\.\d+", f.text)]
        return not images or any(int(major) >= int(version.split(".")[0]) for major in images)
    return allowed
