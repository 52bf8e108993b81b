"""Shell text as simple commands: split at operators, with assignments and wrapping programs taken off.

    simple("cd app && PORT=80 exec poetry run gunicorn app:app | tee log")
        cd app / gunicorn app:app (env PORT=80) / tee log

`bash -c "…"` gives the commands inside. `python -m x …` stays as it is; `Simple.program` is then `x`.
Nothing is expanded: a word with `$` in it is unknown.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_NESTING = 4
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.S)
# `-b0.0.0.0:80`, `-b :80`: a value that begins with a letter could as well be more letters of options.
_GLUED = re.compile(r"^-[A-Za-z](\s+\S|[\d:./\[])")
_OPERATORS = frozenset("&& || ; | & ;; |& ( ) { }".split())
_REDIRECTION = re.compile(r"^\d*(>>?|<<?<?|>&|&>|<&)$")
_KEYWORDS = frozenset("if then else elif fi while until do done for case esac in ! time function".split())
# Programs that run the command given as their further words -> options of theirs that take a value.
_WRAPPERS: dict[str, frozenset[str]] = {
    "sudo": frozenset("-u -g -C -h -p".split()),
    "exec": frozenset(["-a"]),
    "env": frozenset("-u -C".split()),
    "nice": frozenset(["-n"]),
    "ionice": frozenset("-c -n".split()),
    "stdbuf": frozenset("-i -o -e".split()),
    "timeout": frozenset("-s -k".split()),
    "time": frozenset("-f -o".split()),
    "xvfb-run": frozenset(["-s"]),
    "tini": frozenset("-p -e".split()),
    **dict.fromkeys(
        "nohup command gosu su-exec setsid unbuffer dumb-init opentelemetry-instrument ddtrace-run numactl".split(),
        frozenset(),
    ),
}
_POSITIONALS = {"timeout": 1, "gosu": 1, "su-exec": 1}  # words before the command itself
# Package managers whose `run` gives the rest to a program of the environment.
_RUNNERS = frozenset("poetry uv pipenv pdm hatch rye pixi conda micromamba mamba doppler dotenv".split())
_RUNNER_VALUES = frozenset(
    "-n --name -p --prefix --python --with --extra --group --env-file --project --directory -e --environment --package "
    "--with-requirements --cwd --index --manifest-path -m".split()
)


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command: its words without assignments, redirections and wrappers."""

    words: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    runner: str = ""  # package manager that ran it, for example "poetry"

    @property
    def program(self) -> str:
        """Name of the program without its folder; for `python -m x` it is `x`."""
        name = self.words[0].rsplit("/", 1)[-1]
        return self.words[2] if self.module else name

    @property
    def module(self) -> bool:
        """Whether it is `python -m x`."""
        return len(self.words) > 2 and self.words[1] == "-m" and is_python(self.words[0])

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows the program."""
        return self.words[3:] if self.module else self.words[1:]

    def option(self, *names: str) -> str | None:
        """Value of an option: `--name value`, `--name=value` or, after a single letter, `-n8`."""
        for position, word in enumerate(self.words[1:], 1):
            if word in names:
                return self.words[position + 1] if position + 1 < len(self.words) else ""
            head, equals, value = word.partition("=")
            if equals and head in names:
                return value
            if word[:2] in names and _GLUED.match(word):
                return word[2:].strip()
        return None


def is_python(word: str) -> bool:
    """Whether a word starts a Python interpreter."""
    return re.fullmatch(r"(?:.*/)?(python|pypy)[\d.]*w?(\.exe)?", word) is not None


def simple(text: str) -> Iterator[Simple]:
    """The simple commands of some shell text, in order. Text that cannot be split is split at blanks."""
    for line in join_lines(text.split("\n")):
        for words in _split(line[1]):
            yield from unwrap(words)


def join_lines(lines: Iterable[str]) -> list[tuple[int, str]]:
    """First line's number (1-based) and text of every logical line: continuations joined, comments and the bodies of
    heredocs left out."""
    found: list[tuple[int, str]] = []
    start, text, end_mark = 0, "", ""
    for number, line in enumerate(lines, 1):
        if end_mark:
            if line.strip() == end_mark:
                end_mark = ""
            continue
        if not text and line.lstrip().startswith("#"):
            continue
        start = start if text else number
        if line.rstrip().endswith("\\") and not line.rstrip().endswith("\\\\"):
            text += line.rstrip()[:-1] + " "
            continue
        text += line
        heredoc = re.search(r"(?<!<)<<-?\s*['\"]?([A-Za-z_]\w*)['\"]?", text)
        if heredoc:
            end_mark = heredoc[1]
        if text.strip():
            found.append((start, text.strip()))
        text = ""
    if text.strip():
        found.append((start, text.strip()))
    return found


# Text without quotes, operators and escapes: most commands, of which the words stand between blanks.
_PLAIN = re.compile(r"[ \t!#-%*-:=?-\[\]-{}~]*")


_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")  # of a pipeline: its value is one word


def _tokens(line: str) -> list[str]:
    if "${{" in line:
        line = _EXPRESSION.sub(lambda match: "$" + re.sub(r"\W+", "_", match[1]).strip("_"), line)
    if _PLAIN.fullmatch(line):
        return line.split()
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return line.split()


def _split(line: str) -> Iterator[list[str]]:
    tokens = _tokens(line)
    words: list[str] = []
    skip = False
    for token in tokens:
        if skip:
            skip = False
        elif token in _OPERATORS or (token and set(token) <= set("&|;()")):
            if words:
                yield words
            words = []
        elif _REDIRECTION.match(token):
            if words and words[-1].isdigit():
                words.pop()
            skip = True
        elif token == "#" or (token.startswith("#") and words):
            break
        else:
            words.append(token)
    if words:
        yield words


def unwrap(words: list[str], depth: int = 0) -> Iterator[Simple]:
    """The command behind assignments, wrapping programs, package managers and `sh -c`."""
    env: list[tuple[str, str]] = []
    runner = ""
    words = list(words)
    while words:
        name = words[0].rsplit("/", 1)[-1]
        assignment = _ASSIGNMENT.match(words[0])
        if assignment:
            env.append((assignment[1], assignment[2]))
            words.pop(0)
        elif words[0] in _KEYWORDS:
            words.pop(0)
        elif name in _RUNNERS and "run" in words[1:4]:
            runner = name
            words = _after_options(words[words.index("run") + 1 :], _RUNNER_VALUES)
        elif name in _WRAPPERS and len(words) > 1 and name not in _RUNNERS:
            words = _after_options(words[1:], _WRAPPERS[name])[_POSITIONALS.get(name, 0) :]
        elif re.fullmatch(r"wait-for[\w.-]*|wait_for[\w.-]*", name) and "--" in words:
            words = words[words.index("--") + 1 :]
        else:
            break
    if not words:
        if env:
            yield Simple(("export",), tuple(env))
        return
    script = _inline_script(words)
    if script is not None and depth < MAX_NESTING:
        for line in join_lines(script.split("\n")):
            for inner in _split(line[1]):
                for found in unwrap(inner, depth + 1):
                    yield Simple(found.words, (*env, *found.env), found.runner or runner)
        return
    yield Simple(tuple(words), tuple(env), runner)


def _after_options(words: list[str], valued: frozenset[str]) -> list[str]:
    position = 0
    while position < len(words) and words[position].startswith("-"):
        if words[position] == "--":
            return words[position + 1 :]
        position += 2 if words[position] in valued else 1
    return words[position:]


def _inline_script(words: list[str]) -> str | None:
    """The text of `sh -c "…"`, or None."""
    if re.fullmatch(r"(ba|z|da|a|k)?sh", words[0].rsplit("/", 1)[-1]) is None:
        return None
    for position, word in enumerate(words[1:], 1):
        if not word.startswith("-"):
            return None
        if re.fullmatch(r"-[a-z]*c", word) and position + 1 < len(words):
            return words[position + 1]
    return None


def with_variables(lines: Sequence[str], line: int, text: str) -> str:
    """The text of a command on that line of a script, with `$NAME` as the script set it last before."""

    def value(match: re.Match[str]) -> str:
        setting = re.compile(rf"\s*(?:export\s+|local\s+)?{match[1]}=(\"[^\"]*\"|'[^']*'|\S+)")
        found = (setting.match(above) for above in reversed(lines[: line - 1]))
        return next((m[1].strip("\"'") for m in found if m is not None), match[0])

    for _ in range(2):  # a variable may be set from another
        text = re.sub(r"\$\{?([A-Za-z_]\w*)\}?", value, text)
    return text
