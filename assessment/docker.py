"""Dockerfiles: instructions with their lines, stages with what they inherit, and the build context.

`find_dockerfiles(repo)` (as `repo.dockerfiles`) parses every Dockerfile of the repository, tolerantly:

    docker.final.image              base image of the last stage, followed through named stages and ARG
    docker.final.user, .workdir     as they are when the container starts, inherited from earlier stages
    docker.final.start_words        ENTRYPOINT and CMD, JSON or shell form, split
    docker.final.copies             what is copied, from where to where
    docker.contexts                 folders it may be built from, `docker.context_known` where something says so

A `$NAME` that no ARG or ENV sets stays in the text, so a word with `$` in it is unknown.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import File
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

KEYWORDS = frozenset(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER "
    "VOLUME WORKDIR".split()
)
# Last parts of the names of images that hold no application of anybody's own.
PLAIN_IMAGES = frozenset(
    "python miniconda3 mambaforge micromamba ubuntu debian alpine cuda pytorch tensorflow fedora amazonlinux".split()
)
_NAME = re.compile(
    r"(dockerfile|containerfile)([._-][\w.+-]+)?|[\w.+-]+[._-](dockerfile|containerfile)|(?-i:Dockerfile[A-Z]\w*)", re.I
)
_NOT_ONE = re.compile(r"\.(md|py|sh|txt|ya?ml|json|j2|jinja2?|tmpl|tpl|erb|dockerignore|rst|ipynb|html?)$", re.I)
_HEREDOC = re.compile(r"(?<!<)<<(-?)(['\"]?)([A-Za-z_][\w.-]*)\2(?!<)")
_VARIABLE = re.compile(r"\\?\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
_FLAG = re.compile(r"--([\w-]+)(?:=(\S+))?\s*")
_PORT = re.compile(r"[0-9]{1,5}")
MAX_STAGES = 200  # a builder gives up on fewer layers
MAX_FILLED = 20_000  # characters that one text may grow by through its variables
MAX_DEFAULTS = 10  # `${A:-${B:-…}}` inside one another


@dataclass(frozen=True, slots=True)
class Image:
    """A reference to an image. `name` keeps the registry; `tag` and `digest` are empty where they are not given."""

    text: str
    name: str
    tag: str
    digest: str

    @property
    def known(self) -> bool:
        """Whether no variable is left in it."""
        return "$" not in self.text

    @property
    def base(self) -> str:
        """Last part of the name: `python` for `docker.io/library/python`."""
        return self.name.rsplit("/", 1)[-1]


def parse_image(text: str) -> Image:
    """Split `registry:5000/name:tag@sha256:…`."""
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    return Image(text, f"{head}{slash}{name}", tag, digest)


@dataclass(eq=False, slots=True)
class Instruction:
    """One instruction. `words` are the arguments with variables filled in; `lines` are its physical lines."""

    file: File
    keyword: str  # upper case
    value: str  # arguments as one line, without flags, variables as written
    flags: dict[str, str]
    words: tuple[str, ...]
    exec_form: bool
    line: int
    line_end: int
    lines: list[tuple[int, str]]
    heredocs: list[str] = field(default_factory=list)  # bodies
    onbuild: bool = False

    def site(self, note: str | None = None) -> Site:
        return self.file.site(self.line, self.line_end, note=note)

    @property
    def script(self) -> str:
        """What a RUN gives to the shell, heredoc bodies included."""
        return "\n".join([" ".join(self.words) if self.exec_form else self.value, *self.heredocs])


@dataclass(frozen=True, eq=False, slots=True)
class Copy:
    """A COPY or ADD. `stage` is what `--from` names; `destination` is absolute where WORKDIR is known."""

    instruction: Instruction
    sources: tuple[str, ...]
    destination: str
    stage: str | None


@dataclass(eq=False)
class Stage:
    """A build stage, from its FROM to the next."""

    index: int
    name: str
    start: Instruction
    image: Image  # the image outside of this file that it is built upon in the end
    parent: Stage | None
    instructions: list[Instruction] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)
    workdirs: dict[int, str] = field(default_factory=dict)  # line of an instruction -> folder it works in

    def of(self, *keywords: str) -> list[Instruction]:
        """Its own instructions of these keywords, without ONBUILD ones."""
        return [i for i in self.instructions if i.keyword in keywords and not i.onbuild]

    def inherited(self, *keywords: str) -> list[Instruction]:
        """Instructions of these keywords of this stage and of the stages it is built upon, in order."""
        earlier = self.parent.inherited(*keywords) if self.parent is not None else []
        return earlier + self.of(*keywords)

    @cached_property
    def user(self) -> Instruction | None:
        """The USER in force at the end, or None: then it is the base image's."""
        found = self.inherited("USER")
        return found[-1] if found else None

    @property
    def workdir(self) -> str:
        return next(reversed(self.workdirs.values()), self.parent.workdir if self.parent else "/")

    @cached_property
    def entrypoint(self) -> Instruction | None:
        found = self.inherited("ENTRYPOINT")
        return found[-1] if found else None

    @cached_property
    def cmd(self) -> Instruction | None:
        """The CMD in force. A new ENTRYPOINT resets a CMD of the stage it is built upon."""
        own = self.of("CMD")
        if own:
            return own[-1]
        return self.parent.cmd if self.parent is not None and not self.of("ENTRYPOINT") else None

    @property
    def start_words(self) -> tuple[str, ...]:
        """What runs when the container starts, empty where only the base image says it."""
        entry = self.entrypoint.words if self.entrypoint else ()
        if self.entrypoint is not None and not self.entrypoint.exec_form:
            return entry  # the shell form takes no CMD
        return entry + (self.cmd.words if self.cmd else ())

    @cached_property
    def ports(self) -> list[tuple[int, Instruction]]:
        """Ports of EXPOSE that are plain numbers once variables are filled in."""
        found = []
        for instruction in self.inherited("EXPOSE"):
            for word in instruction.words:
                number = word.partition("/")[0]
                if _PORT.fullmatch(number):
                    found.append((int(number), instruction))
        return found

    @cached_property
    def copies(self) -> list[Copy]:
        """Its own COPY and ADD instructions, heredocs as sources left out."""
        found = []
        for instruction in self.of("COPY", "ADD"):
            if len(instruction.words) < 2:
                continue
            *sources, target = instruction.words
            workdir = self.workdirs_at(instruction)
            destination = target if "$" in target else posixpath.normpath(posixpath.join(workdir, target))
            kept = tuple(s for s in sources if not s.startswith("<<"))
            found.append(Copy(instruction, kept, destination, instruction.flags.get("from")))
        return found

    def workdirs_at(self, instruction: Instruction) -> str:
        """The folder an instruction works in."""
        inherited = self.parent.workdir if self.parent else "/"
        earlier = [folder for line, folder in self.workdirs.items() if line < instruction.line]
        return earlier[-1] if earlier else inherited


@dataclass(eq=False)
class Dockerfile:
    """A parsed Dockerfile. `problems` are lines that cannot be understood, with the reason."""

    file: File
    instructions: list[Instruction] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    contexts: tuple[str, ...] = ()  # folders relative to the root, "" for the root
    context_known: bool = False
    global_args: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def final(self) -> Stage | None:
        """The last stage: what is shipped."""
        return self.stages[-1] if self.stages else None

    def stage(self, name: str) -> Stage | None:
        """A stage by its name or number."""
        for stage in self.stages:
            if name.lower() == stage.name or name == str(stage.index):
                return stage
        return None


def find_dockerfiles(repo: Repo) -> list[Dockerfile]:
    """Every Dockerfile of the repository, by path, with its build contexts."""
    from ml_engineer.assessment.buildcontext import contexts_of

    found = [parse_dockerfile(file) for file in repo.files.values() if is_dockerfile(file)]
    found = [d for d in found if d.stages or d.problems]
    for docker in found:
        docker.contexts, docker.context_known = contexts_of(repo, docker)
    return found


def is_dockerfile(file: File) -> bool:
    if file.roles & {"vendored", "template"} or _NOT_ONE.search(file.name):
        return False
    return _NAME.fullmatch(file.name) is not None


def parse_dockerfile(file: File) -> Dockerfile:
    """Parse one file. Never raises for what it holds."""
    docker = Dockerfile(file)
    for keyword, rest, first, last, lines, heredocs in _logical_lines(file.lines):
        onbuild = keyword == "ONBUILD"
        if onbuild:
            keyword, _, rest = rest.partition(" ")
            keyword = keyword.upper()
        if keyword not in KEYWORDS:
            if not keyword.startswith(("{{", "{%", "%", "INCLUDE")):
                docker.problems.append((first, f"unknown instruction {keyword[:40]}"))
            continue
        if keyword == "FROM" and len(docker.stages) >= MAX_STAGES:
            docker.problems.append((first, f"more than {MAX_STAGES} stages: the rest is not looked at"))
            break
        _add(docker, keyword, rest, first, last, lines, heredocs, onbuild)
    if not docker.stages and not docker.problems and docker.instructions:
        docker.problems.append((docker.instructions[0].line, "there is no FROM"))
    if any(line.lstrip().startswith("{% extends") for line in file.lines[:20]):
        docker.problems.clear()  # a block of a template: what comes before it stands in the one that it extends
    return docker


_Logical = tuple[str, str, int, int, list[tuple[int, str]], list[str]]


def _logical_lines(lines: list[str]) -> Iterator[_Logical]:
    """Keyword, arguments, first and last line, physical lines, heredoc bodies."""
    escape = "\\"
    number = 0
    for line in lines:
        directive = re.match(r"#\s*(\w+)\s*=\s*(\S+)\s*$", line)
        if not directive:
            break
        if directive[1].lower() == "escape" and directive[2] in ("\\", "`"):
            escape = directive[2]
    while number < len(lines):
        if not lines[number].strip() or lines[number].lstrip().startswith("#"):
            number += 1
            continue
        first = number
        parts: list[str] = []
        physical: list[tuple[int, str]] = []
        while number < len(lines):
            line = lines[number].rstrip()
            number += 1
            if parts and (not line.strip() or line.lstrip().startswith("#")):
                continue  # comments and empty lines inside a continuation are dropped
            physical.append((number, line))
            if line.endswith(escape):
                parts.append(line[:-1].strip())
                continue
            parts.append(line.strip())
            break
        keyword, _, rest = " ".join(part for part in parts if part).partition(" ")
        heredocs, number = _heredocs(keyword.upper(), rest, lines, number, physical)
        yield keyword.upper(), rest.strip(), first + 1, physical[-1][0], physical, heredocs


def _heredocs(
    keyword: str, rest: str, lines: list[str], number: int, physical: list[tuple[int, str]]
) -> tuple[list[str], int]:
    """Bodies of the heredocs an instruction opens, and the number of lines read after them."""
    bodies: list[str] = []
    if keyword not in ("RUN", "COPY", "ADD"):
        return bodies, number
    for dash, _, name in _HEREDOC.findall(rest):
        end = number
        while end < len(lines) and (lines[end].lstrip("\t") if dash else lines[end]).rstrip() != name:
            end += 1
        if end == len(lines):
            break  # no end: the shell's business, not a heredoc of the Dockerfile
        bodies.append("\n".join(lines[number:end]))
        physical.extend((at + 1, lines[at]) for at in range(number, end + 1))
        number = end + 1
    return bodies, number


def _add(
    docker: Dockerfile,
    keyword: str,
    rest: str,
    first: int,
    last: int,
    lines: list[tuple[int, str]],
    heredocs: list[str],
    onbuild: bool,
) -> None:
    stage = docker.final
    known = docker.global_args if keyword == "FROM" or stage is None else {**stage.args, **stage.env}
    flags: dict[str, str] = {}
    if keyword in ("FROM", "RUN", "COPY", "ADD", "HEALTHCHECK"):
        while flag := _FLAG.match(rest):
            flags[flag[1]] = substitute(flag[2] or "", known)
            rest = rest[flag.end() :]
    words, exec_form = _words(keyword, rest)
    if keyword not in ("RUN", "CMD", "ENTRYPOINT") or not exec_form:
        words = tuple(substitute(word, known) for word in words)
    instruction = Instruction(
        docker.file, keyword, rest, flags, words, exec_form, first, last, lines, heredocs, onbuild
    )
    docker.instructions.append(instruction)
    if keyword == "FROM" and not onbuild:
        _start_stage(docker, instruction)
    elif stage is None:
        if keyword == "ARG":
            docker.global_args.update(_assignments(rest, docker.global_args))
        else:
            docker.problems.append((first, f"{keyword} stands before the first FROM"))
    else:
        stage.instructions.append(instruction)
        if not onbuild:
            _apply(docker, stage, instruction, known)


def _start_stage(docker: Dockerfile, instruction: Instruction) -> None:
    words = instruction.words
    if not words:
        docker.problems.append((instruction.line, "FROM names no image"))
        return
    name = words[2].lower() if len(words) >= 3 and words[1].upper() == "AS" else ""
    parent = docker.stage(words[0]) if not words[0].isdigit() else None
    image = parent.image if parent is not None else parse_image(words[0])
    stage = Stage(len(docker.stages), name, instruction, image, parent)
    if parent is not None:
        stage.env = dict(parent.env)
    docker.stages.append(stage)


def _apply(docker: Dockerfile, stage: Stage, instruction: Instruction, known: dict[str, str]) -> None:
    match instruction.keyword:
        case "ARG":
            for item in _split(instruction.value):
                name, equals, value = item.partition("=")
                if equals:
                    stage.args[name] = substitute(value, known)
                elif name in docker.global_args:
                    stage.args[name] = docker.global_args[name]
        case "ENV":
            stage.env.update(_assignments(instruction.value, known))
        case "WORKDIR" if instruction.words:
            stage.workdirs[instruction.line] = posixpath.normpath(posixpath.join(stage.workdir, instruction.words[0]))


def _assignments(text: str, known: dict[str, str]) -> dict[str, str]:
    """`A=1 B="two words"`, or the old form `A one value`."""
    items = _split(text)
    if items and "=" not in items[0]:
        name, _, value = text.partition(" ")
        return {name: substitute(value.strip(), known)} if value.strip() else {}
    pairs = (item.partition("=") for item in items)
    return {name: substitute(value, known) for name, equals, value in pairs if equals}


def _words(keyword: str, rest: str) -> tuple[tuple[str, ...], bool]:
    """Arguments split, and whether they were given as a JSON list."""
    if rest.startswith("[") and keyword in ("RUN", "CMD", "ENTRYPOINT", "COPY", "ADD", "VOLUME", "SHELL"):
        try:
            items = json.loads(rest)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items), True
    return tuple(_split(rest)), False


def _split(text: str) -> list[str]:
    """Words as a shell splits them; by blanks where the quotes do not close."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def substitute(text: str, known: dict[str, str], depth: int = 0) -> str:
    """Fill in `$A`, `${A}`, `${A:-default}` and `${A:+other}`. What is not known, or too long, stays as written."""
    left = MAX_FILLED

    def value(match: re.Match[str]) -> str:
        nonlocal left
        filled = _filled(match, known, depth)
        left -= len(filled)
        return filled if left >= 0 else match[0]

    return _VARIABLE.sub(value, text)


def _filled(match: re.Match[str], known: dict[str, str], depth: int) -> str:
    if match[0].startswith("\\"):
        return match[0]
    given = known.get(match[1] or match[4])
    if match[2] in (":-", "-"):
        return given or (substitute(match[3], known, depth + 1) if depth < MAX_DEFAULTS else match[0])
    if match[2] in (":+", "+"):
        return match[3] if given else ""
    return given if given is not None else match[0]
