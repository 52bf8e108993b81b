"""M10-02: an application's direct dependencies without any version, and no lock that settles it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.declarations import Declared
    from ml_engineer.assessment.repo import Repo

_BUILD_TOOLS = frozenset(
    "pip setuptools wheel poetry pipenv uv pdm hatch build virtualenv mamba conda pip-tools".split()
)
_DEVELOPMENT = frozenset("dev develop development test tests testing docs doc lint ci style typing notebook".split())


@rule(
    id="MLE1002",
    name="unpinned",
    step=10,
    severity=MEDIUM,
    title="Dependencies without a version",
    why="Every installation may get other versions, so results and behaviour change without a change in the code.",
    remedy="Give each direct dependency a version range and commit a lock with hashes (uv lock, pip-compile).",
    source="mllint; ML Test Score Infra-1",
    applies=lambda repo: bool(repo.dependencies.files),
)
def check(repo: Repo) -> Iterator[Hit]:
    by_file: dict[str, list[Declared]] = {}
    library = repo.dependencies.is_library
    for declared in repo.dependencies.declared:
        if _is_free(repo, declared) and (not library or _pins_the_others(repo, declared)):
            by_file.setdefault(declared.environment, []).append(declared)
    for path, found in by_file.items():
        tools = [d for d in found if d.name in _BUILD_TOOLS]
        packages = [d for d in found if d.name not in _BUILD_TOOLS]
        if packages:
            count = "1 dependency" if len(packages) == 1 else f"{len(packages)} dependencies"
            yield Hit([d.source for d in packages], title=f"{count} without a version in {path}", anchor=path)
        elif tools:
            yield Hit(
                [d.source for d in tools],
                severity=LOW,
                title=f"Build tool installed without a version ({tools[0].name})",
                anchor=f"tools {path}",
            )
    for command in repo.commands.of("docker-run", "ci") if not library else ():
        words = command.words
        if (
            command.program == "pipenv"
            and "install" in words
            and not {"--deploy", "--ignore-pipfile", "--dev"} & set(words)
        ):
            if len([w for w in command.arguments if not w.startswith("-")]) == 1:
                yield Hit([command.site], severity=LOW, title="pipenv install does not insist on the lock (--deploy)")


def _pins_the_others(repo: Repo, declared: Declared) -> bool:
    """Whether the repository's own requirements.txt fixes most of what it names, as only an installation needs it: a
    library's bounds would be ranges."""
    if declared.environment != "requirements.txt":
        return False
    beside = [d for d in repo.dependencies.declared if d.environment == declared.environment and d.direct]
    return 2 * sum(d.specifier.startswith("==") for d in beside) > len(beside)


def _is_free(repo: Repo, declared: Declared) -> bool:
    if declared.bounded or not declared.direct or declared.kind in ("lock", "constraints", "notebook", "script"):
        return False
    if declared.group in _DEVELOPMENT or {"test", "vendored"} & repo.files[declared.environment].roles:
        return False
    if declared.kind == "dockerfile" and declared.name in repo.dependencies.declared_in_files:
        return False
    others = repo.dependencies.of(declared.name, near=declared.environment)
    return not any(d.kind in ("lock", "constraints") and d.bounded for d in others)
