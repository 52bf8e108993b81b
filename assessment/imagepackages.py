"""Packages that an image lacks: what its program imports, that other files of the repository declare, and that nothing
installs into this image.

    for missing in lacking(repo):   its name, where it is imported and where the image installs its packages

Only for images of plain Python whose every installation can be read; what the repository declares nowhere is the
matter of all environments alike.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment import declarations as read
from ml_engineer.assessment.buildcontext import context_files, sources
from ml_engineer.assessment.callgraph import closure_of
from ml_engineer.assessment.distributions import providers
from ml_engineer.assessment.entrypoints import Entry
from ml_engineer.assessment.once import once
from ml_engineer.assessment.releases import BRINGS, brought_along

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile, Instruction
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

_OTHERWISE = ("poetry", "pipenv", "conda", "mamba", "uv ", "pdm", "pip-sync", "setup.py", "apt-get install python3-")


@dataclass(frozen=True, slots=True)
class Missing:
    """A package that an image lacks."""

    name: str
    use: Site  # the import
    run: Site  # what the image installs
    known: bool  # whether everything is known that its packages bring with them


def lacking(repo: Repo) -> Iterator[Missing]:
    """Packages that images lack, each once for each image."""
    if len(repo.dependencies.requirements_files) < 2:
        return
    for docker in repo.dockerfiles:
        found = _installed(repo, docker)
        if found is None:
            continue
        names, run = found
        present = names | brought_along(names).keys()
        seen: set[str] = set()
        for module in _running(repo, docker):
            for item in module.imports:
                wanted = providers(item.target)
                if item.guarded or item.tests or module.scope_of(item.node) is not None or wanted[0] in seen:
                    continue
                if item.target not in _foreign(repo) or not any(map(repo.dependencies.of, wanted)):
                    continue
                if present.isdisjoint(wanted):
                    seen.add(wanted[0])
                    yield Missing(wanted[0], module.site(item.node), run, names <= BRINGS.keys())


@once
def _foreign(repo: Repo) -> set[str]:
    """Import targets that are neither Python's own nor the repository's, with what stands below them."""
    tops = {target.partition(".")[0] for target in repo.dependencies.third_party}
    return {i.target for facts in repo.facts.values() for i in facts.imports if i.top in tops}


def _installed(repo: Repo, docker: Dockerfile) -> tuple[set[str], Site] | None:
    """What an image installs by requirements files and by name, and where; None where that cannot be known."""
    if docker.final is None or len(docker.stages) != 1 or "test" in docker.file.roles:
        return None
    if docker.final.image.base != "python":
        return None
    runs = docker.final.of("RUN")
    scripts = [(run, run.script) for run in runs if "install" in run.script]
    if any(word in script for _, script in scripts for word in _OTHERWISE) or any("$" in s for _, s in scripts):
        return None
    names: set[str] = set()
    place: Instruction | None = None
    for run, script in scripts:
        for path in read.installed_files(script):
            files = _copied_before(repo, docker, run.line, posixpath.basename(path))
            if len(files) != 1:
                return None
            place = place or run
            names |= _declared_by(repo, files.pop())
        if " ." in script and "-r" not in script:
            return None  # it installs the project itself
        names |= {d.name for d in read.installed(script, run.site(), docker.path, "dockerfile")}
    own = {part for module in repo.all_modules for part in module.dotted.split(".")[:2]}  # src.shop, too
    if any(name.replace("-", "_") in own for name in names):
        return None  # it installs the project itself, by its name
    return (names, place.site()) if place is not None and names else None


def _copied_before(repo: Repo, docker: Dockerfile, line: int, name: str) -> set[str]:
    """Files of that name that are copied into the image above a line."""
    found: set[str] = set()
    for context in docker.contexts:
        paths = context_files(repo, docker, context)
        for copy in docker.final.copies if docker.final is not None else ():
            for source in copy.sources if copy.instruction.line < line else ():
                inside = [path for path in sources(paths, source) if posixpath.basename(path) == name]
                found |= {posixpath.join(context, min(inside, key=len))} if inside else set()
    return found


def _declared_by(repo: Repo, path: str) -> set[str]:
    """Names that a requirements file declares, with those it includes."""
    names = {d.name for d in repo.dependencies.declared if d.environment == path}
    for _, included in read.included(repo.files[path]):
        inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), included))
        if inner in repo.files and inner != path:
            names |= {d.name for d in repo.dependencies.declared if d.environment == inner}
    return names


def _running(repo: Repo, docker: Dockerfile) -> list[Module]:
    """Modules that are imported when the image starts its program."""
    started = {
        path
        for command in repo.commands.of("docker-cmd")
        if command.site.path == docker.path
        for path in repo.commands.runs(command)
    }
    found: list[Module] = []
    for path in sorted(started):
        module = repo.by_path.get(path)
        if module is not None:
            entry = Entry("serve", module, None, module.site(1))
            found += [m for m in closure_of(repo, [entry]).bodies if m not in found]
    return found
