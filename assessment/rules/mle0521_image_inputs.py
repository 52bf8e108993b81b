"""M5-21: the build copies or installs a file that the build context does not have."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile, Instruction
    from ml_engineer.assessment.repo import Repo

# Output of a build that a person or CI runs before the image is built.
_BUILT = re.compile(r"(^|/)(dist|build|target|out|bin|node_modules|wheelhouse|\.next|public)(/|$)|\.(whl|jar|war|zip)$")
_ARTEFACT = re.compile(
    r"\.(pkl|pickle|joblib|pt|pth|ckpt|h5|hdf5|keras|onnx|pb|tflite|safetensors|gguf|bin|model)$", re.I
)
_INSTALL = re.compile(r"\bpip3?(?:\.\d+)?\b[^&|;]*?\binstall\b([^&|;]*)")
_REQUIREMENT = re.compile(r"(?:^|\s)(?:-r|--requirement)[\s=]*([\w./-]+)")
_UNPACKS = re.compile(r"\b(git\s+clone|tar\s+-?\w*x|unzip|dvc\s+(get|pull)|poetry\s+export|pip-compile)\b")
_FETCHES = re.compile(r"\b(wget|curl|cp|mv|aws\s+s3|gsutil)\b[^&|;]*\S*")
_MAKES = re.compile(r">\s*[\"']?([\w./-]+)|\b(?:-o|-O|--output|--out|--output-file)[\s=]+([\w./-]+)")


@rule(
    id="MLE0521",
    name="image-inputs",
    step=5,
    severity=HIGH,
    title="The image build needs a file that is not in its build context",
    why="The build stops at this line: from a fresh checkout the image cannot be made.",
    remedy="Add the file, correct its path, or take it out of .dockerignore; build the image in CI.",
    source="Docker build reference; seen in real repositories",
    applies=lambda repo: (
        any(d.final is not None and "test" not in d.file.roles for d in repo.dockerfiles)
        or any(service.build_context is not None for service in repo.compose)
    ),
)
def check(repo: Repo) -> Iterator[Hit]:
    for docker in repo.dockerfiles:
        if docker.final is None or "test" in docker.file.roles:
            continue
        by_context = [_problems(repo, docker, context) for context in docker.contexts]
        if not by_context or not all(by_context):
            continue  # it builds from one of the folders it may be built from
        found = min(by_context, key=len)
        names = ", ".join(dict.fromkeys(name for name, _, _ in found))
        excluded = all(ignored for _, _, ignored in found)
        yield Hit(
            [site for _, site, _ in found],
            confidence="high" if docker.context_known or len(docker.contexts) == 1 else "medium",
            title=f"The image build needs {names}, which "
            + (".dockerignore takes out of the build context" if excluded else "is not there"),
            anchor=f"{docker.path}\0{names}",
        )
    yield from _without_dockerfile(repo)
    yield from _without_model(repo)


def _without_model(repo: Repo) -> Iterator[Hit]:
    """Images that lack the model which their service loads when it starts."""
    from ml_engineer.assessment.leftout import left_out

    lacking: dict[Dockerfile, list[tuple[str, Site]]] = {}
    for docker, path, call in left_out(repo):
        lacking.setdefault(docker, []).append((path, call.site()))
    for docker, loads in lacking.items():
        yield Hit(
            [docker.file.site(docker.stages[-1].start.line), *dict.fromkeys(site for _, site in loads)],
            confidence="medium",
            title=f"The image lacks {', '.join(dict.fromkeys(path for path, _ in loads))}: .dockerignore takes it out",
            why="The service loads it when it starts, and nothing mounts it or brings it: the container stops at once.",
            remedy="Take the line out of .dockerignore, or mount the model, or fetch its version at the start.",
            anchor=f"{docker.path}\0model",
        )


def _without_dockerfile(repo: Repo) -> Iterator[Hit]:
    """Services that Compose builds from a folder without a Dockerfile."""
    missing: dict[str, list[Site]] = {}
    for service in repo.compose:
        context, build = service.build_context, service.node.get("build")
        if context is None or build is None or build.get("dockerfile_inline") is not None or repo.glob(".gitmodules"):
            continue
        path = posixpath.normpath(posixpath.join(service.file.folder, context, service.dockerfile or "Dockerfile"))
        if "$" in path or re.match(r"\w+:/|git@", context) or path.startswith(("..", "/")):
            continue
        lowered = posixpath.join(posixpath.dirname(path), "dockerfile")  # Docker takes this name, too
        found = path in repo.files or (service.dockerfile is None and lowered in repo.files)
        if not found and "docs" not in service.file.roles:
            missing.setdefault(path, []).append(build.site())
    for path, sites in missing.items():
        yield Hit(
            sites,
            title=f"Compose builds an image from {path}, which is not there",
            anchor=f"compose {path}",
        )


def _problems(repo: Repo, docker: Dockerfile, context: str) -> list[tuple[str, Site, bool]]:
    """(name, site, taken out by .dockerignore) for each input that a build from this folder lacks."""
    from ml_engineer.assessment.buildcontext import context_files

    present = context_files(repo, docker, context)
    found = []
    for stage in docker.stages:
        for copy in stage.copies:
            for source in copy.sources if copy.stage is None else ():
                reason = _absent(repo, source, present, context)
                if reason is not None:
                    found.append((source, copy.instruction.site(), reason == "ignored"))
    found.extend((name, site, False) for name, site in _requirements(repo, docker, context))
    return found


def _absent(repo: Repo, source: str, present: list[str], context: str) -> str | None:
    from ml_engineer.assessment.buildcontext import sources

    if "$" in source or "://" in source or source.startswith("git@") or any(c in source for c in "*?[{"):
        return None
    cleaned = posixpath.normpath(source.lstrip("/")) if source.strip("/") else "."
    if cleaned == "." or sources(present, source):
        return None
    path = posixpath.normpath(posixpath.join(context, cleaned))
    if any(p == path or p.startswith(f"{path}/") for p in repo.files):
        return "ignored"
    if (repo.root / path).is_dir() or _BUILT.search(cleaned) or _produced(repo, path):
        return None
    return "absent"


def _produced(repo: Repo, path: str) -> bool:
    """Whether something outside the Dockerfile brings the file: DVC, a script, a documented step, a local secret."""
    name = posixpath.basename(path)
    if f"{path}.dvc" in repo.files or name in (".env", ".netrc", ".npmrc", ".pypirc"):
        return True
    if _ARTEFACT.search(name) or "." not in name:
        makers = repo.glob(
            "dvc.yaml", "dvc.lock", "Makefile", "*.sh", "*.md", "*.yml", "*.yaml", "*.py", "*.ipynb", "*.dvc"
        )
        return any(name in file.text for file in makers if not file.name.lower().startswith("dockerfile"))
    makers = repo.glob(
        "Makefile", "makefile", "*.sh", "justfile", "noxfile.py", "tasks.py", ".github/workflows/*", "*.md"
    )
    makes = re.compile(
        rf"(>\s*|-o\s+|--output\S*\s+|--out\s+|export\s.*|\b(cp|mv|rsync|scp|ln)\s(.*\s)?)\S*(?<![\w.-]){re.escape(name)}"
    )
    if any(makes.search(file.text) for file in makers):
        return True
    # What .gitignore keeps out and a program of the repository names is what that program writes.
    quoted = (f'"{name}"', f"'{name}'", f"/{name}")
    return _is_ignored(repo, path) and any(text in module.file.text for module in repo.modules for text in quoted)


def _is_ignored(repo: Repo, path: str) -> bool:
    """Whether .gitignore keeps a file out, by its name, its ending or one of its folders."""
    names = {*path.split("/"), f"*{posixpath.splitext(path)[1]}"}
    lines = (
        line.strip().strip("/").removesuffix("/**").removesuffix("/*")
        for f in repo.glob(".gitignore")
        for line in f.lines
    )
    return any(line in names or path == line or path.startswith(f"{line}/") for line in lines if line)


def _requirements(repo: Repo, docker: Dockerfile, context: str) -> Iterator[tuple[str, Site]]:
    """Requirement files that a RUN installs and that nothing brought into the image before."""
    from ml_engineer.assessment.buildcontext import image_files

    held: dict[str, tuple[str, int]] | None = None
    for stage in docker.stages:
        if stage.image.text.partition("/")[0].count(".") and not _public(stage.image.text):
            continue  # a private base image may hold the file
        if _is_built_here(repo, docker, stage.image.text):
            continue
        for run in stage.of("RUN"):
            if "mount" in run.flags or "-r" not in run.script:
                continue
            for number, name in _installed(run):
                if held is None:
                    held = {path: at for s in _upto(docker) for path, at in image_files(repo, s, context).items()}
                base = posixpath.basename(name)
                if any(posixpath.basename(path) == base for path in held) or _made(docker, run, base):
                    continue
                yield name, run.file.site(number)


def _is_built_here(repo: Repo, docker: Dockerfile, image: str) -> bool:
    """Whether another Dockerfile of the repository makes the base image: what that one copies is in this one, too."""
    name = re.sub(r":[^/:]*$", "", image.partition("@")[0])
    if not name or all(other is docker for other in repo.dockerfiles):
        return False
    tagged = re.compile(rf"(-t|--tag)[\s=]+[\"']?{re.escape(name)}(:|[\s\"']|$)")
    if any(tagged.search(command.text) for command in repo.commands):
        return True
    images = (service.image for service in repo.compose if service.build_context is not None)
    return any(re.sub(r":[^/:]*$", "", node.scalar or "") == name for node in images if node is not None)


def _upto(docker: Dockerfile) -> Iterator[Dockerfile]:
    """The Dockerfile as it is after each of its stages, so that builder stages are seen too."""
    from ml_engineer.assessment.docker import Dockerfile as Parsed

    for number in range(1, len(docker.stages) + 1):
        yield Parsed(docker.file, docker.instructions, docker.stages[:number], [], docker.contexts)


def _public(image: str) -> bool:
    return image.startswith(
        ("docker.io/", "ghcr.io/", "quay.io/", "gcr.io/", "mcr.microsoft.com/", "nvcr.io/", "public.ecr.aws/")
    )


def _installed(run: Instruction) -> Iterator[tuple[int, str]]:
    for install in _INSTALL.finditer(run.script):
        for match in _REQUIREMENT.finditer(install[1]):
            name = match[1]
            line = next((n for n, text in run.lines if name in text), run.line)
            yield line, name


def _made(docker: Dockerfile, run: Instruction, base: str) -> bool:
    """Whether an instruction of the Dockerfile makes the file: a redirection, a download, a clone, a heredoc."""
    for instruction in docker.instructions:
        if instruction.line > run.line:
            break
        if instruction.keyword == "RUN":
            if base in {posixpath.basename(a or b) for a, b in _MAKES.findall(instruction.script)}:
                return True
            if _UNPACKS.search(instruction.script):
                return True
            if base in instruction.script and _FETCHES.search(instruction.script):
                return True
        elif instruction.keyword in ("COPY", "ADD"):
            hidden = any("$" in word or "://" in word for word in instruction.words)
            if instruction.heredocs or hidden or _from_outside(docker, instruction):
                return True
    return False


def _from_outside(docker: Dockerfile, instruction: Instruction) -> bool:
    """Whether a copy takes from another image, whose files are not known."""
    source = instruction.flags.get("from")
    return source is not None and docker.stage(source) is None
