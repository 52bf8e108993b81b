"""A shell command, taken apart by a real grammar: every simple command in it, with its words and redirections.

    parse("git log | xargs -n1 sh -c 'rm x' > out") -> Script(commands=(git log, xargs …, rm x), unknown=())

Commands are found wherever the shell would run one: lists, pipelines, subshells, loops, substitutions, here documents,
and behind programs that run their arguments (`env`, `timeout`, `xargs`, `sudo`, `find -exec`, `bash -c`, `eval`).
What cannot be read with certainty is named in `unknown`; a caller that decides on safety must treat it as the worst.
The grammar is tree-sitter's; where it and bash could split words differently, the command counts as unknown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from ml_engineer.tools import shell_wrappers

_PARSER = Parser(Language(tree_sitter_bash.language()))
_DEPTH = 6  # of shells inside shells

_STRUCTURE = frozenset(
    "program list pipeline subshell compound_statement negated_command if_statement elif_clause "
    "else_clause for_statement c_style_for_statement while_statement do_group case_statement case_item comment "
    "command_substitution process_substitution test_command unary_expression binary_expression ternary_expression "
    "parenthesized_expression postfix_expression test_operator regex extglob_pattern arithmetic_expansion expansion "
    "simple_expansion string string_content raw_string ansi_c_string translated_string word number concatenation "
    "brace_expression variable_name special_variable_name subscript array heredoc_start heredoc_body "
    "heredoc_content heredoc_end file_descriptor command_name redirected_statement".split()
)
_WRITING = frozenset({">", ">>", ">|", "&>", "&>>", "<>", ">&"})
_GLOB = re.compile(r"(?<!\\)[*?\[]")
_BLANK = re.compile(rb"(\\\n)*[ \t]([ \t]|\\\n)*")
_BRACES = re.compile(r"(?<!\\)\{[^{}]*(,|\.\.)[^{}]*\}")


@dataclass(frozen=True)
class Word:
    """One argument. `text` is what the program gets, or None when only the running shell knows it."""

    text: str | None
    source: str
    glob: bool = False


@dataclass(frozen=True)
class Redirect:
    """A file that the shell opens for the command; `writes` is False for `<`."""

    target: Word
    writes: bool


@dataclass(frozen=True)
class Command:
    """One simple command. `words[0]` is the program; it has no words when it only assigns or redirects.

    `open_ended`: more arguments are added when it runs (`xargs`, `find -exec`). `privileged`: behind sudo or the like.
    Redirections of a whole group stand in a command of their own, without words.
    """

    words: tuple[Word, ...]
    source: str
    assignments: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    open_ended: bool = False
    privileged: bool = False

    @property
    def texts(self) -> list[str | None]:
        return [word.text for word in self.words]

    @property
    def name(self) -> str | None:
        """The program's name without its folder; None when there is none or only the shell knows it."""
        text = self.words[0].text if self.words else None
        return None if text is None else text.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Script:
    """`commands` in the order of the text; `unknown` says what could not be read, one reason each."""

    commands: tuple[Command, ...]
    unknown: tuple[str, ...] = ()


def parse(source: str) -> Script:
    """Takes `source` apart. Never raises: what is no shell text ends in `unknown`."""
    reader = _Reader()
    reader.read(source, depth=0)
    return Script(tuple(reader.commands), tuple(dict.fromkeys(reader.unknown)))


@dataclass
class _Reader:
    commands: list[Command] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def read(self, source: str, *, depth: int) -> None:
        """Adds the commands of `source`."""
        if depth > _DEPTH:
            self.unknown.append(f"more than {_DEPTH} shells inside one another")
            return
        strange = next((c for c in source if _invisible(c)), None)
        if strange is not None:
            self.unknown.append(f"an invisible character (U+{ord(strange):04X})")
            return
        data = source.encode("utf-8", errors="surrogateescape")
        root = _PARSER.parse(data).root_node
        if root.has_error:
            self.unknown.append("syntax that the grammar does not know")
            return
        self._visit(root, _Context(data, depth))

    def _visit(self, node: Node, at: _Context) -> None:
        kind = node.type
        if kind == "command":
            self._command(node, at)
        elif kind.endswith("_redirect"):
            redirects = tuple(self._redirects(node, at))
            if redirects:
                self.commands.append(Command((), at.text(node), redirects=redirects))
        elif kind in ("declaration_command", "unset_command", "variable_assignment", "variable_assignments"):
            self._assignment(node, at)
        elif kind == "function_definition":
            self.unknown.append("a function is defined, which may stand for any command")
            self._visit_below(node, at)
        elif kind in _STRUCTURE:
            if kind == "test_command" and re.search(r"\$\(|`", _raw_strings(node, at.data)):
                self.unknown.append("a test that would run text as a command")
            self._visit_below(node, at)
        else:
            self.unknown.append(f"a construct that is not judged ({kind.replace('_', ' ')})")

    def _visit_below(self, node: Node, at: _Context) -> None:
        for child in node.named_children:
            self._visit(child, at)

    def _redirects(self, node: Node, at: _Context) -> Iterator[Redirect]:
        """The files that one redirection opens, and on the side the commands that stand in it."""
        if node.type == "heredoc_redirect":
            for child in node.named_children:
                if child.type.endswith("_redirect"):
                    yield from self._redirects(child, at)
                else:
                    self._visit(child, at)
            return
        if node.type == "herestring_redirect":
            self._visit_below(node, at)
            return
        operator = next((child.type for child in node.children if not child.is_named), "")
        for destination in node.children_by_field_name("destination"):
            self._visit(destination, at)
            target = self._word(destination, at)
            duplicates = operator in (">&", "<&") and re.fullmatch(r"\d*-?", target.text or "x")
            if not duplicates:
                yield Redirect(target, writes=operator in _WRITING)

    def _assignment(self, node: Node, at: _Context) -> None:
        """A statement that only sets variables: a command without words, or `export` or `unset` alone."""
        words: tuple[Word, ...] = ()
        if node.type in ("declaration_command", "unset_command"):
            words = (Word(at.text(node.children[0]), at.text(node.children[0])),)
        names = tuple(at.text(name) for name in _names(node))
        self.commands.append(Command(words, at.text(node), names))
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._visit_below(child, at)
            else:
                self._visit(child, at)

    def _command(self, node: Node, at: _Context) -> None:
        assignments: list[str] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        end: int | None = None
        place = len(self.commands)
        for part in node.named_children:
            if part.type.endswith("_redirect"):
                redirects += self._redirects(part, at)
                end = None
                continue
            if part.type == "variable_assignment":
                assignments.append(at.text(part).partition("=")[0].rstrip("+"))
                self._visit_below(part, at)
            else:
                words.append(self._word(part, at))
                self._visit(part, at)
            if end is not None and not _BLANK.fullmatch(at.data[end : part.start_byte]):
                self.unknown.append("words that bash may join or split differently")
            end = part.end_byte
        command = Command(tuple(words), at.text(node), tuple(assignments), tuple(redirects))
        self.commands[place:place] = self._unwrapped(command, at.depth)

    def _unwrapped(self, command: Command, depth: int) -> list[Command]:
        """`command` and what it runs in turn; a wrapper that only passes on is replaced by what it runs."""
        found = shell_wrappers.unwrap(command.texts)
        if found is None:
            return [command]
        if isinstance(found, str) or depth > _DEPTH:
            self.unknown.append(found if isinstance(found, str) else f"more than {_DEPTH} programs inside one another")
            return [command]
        if found.script is not None:
            reader = _Reader(unknown=self.unknown)
            reader.read(found.script, depth=depth + 1)
            redirected = [replace(command, words=(), assignments=())] if command.redirects else []
            return [*(_inherit(inner, command) for inner in reader.commands), *redirected]
        inner = replace(
            command,
            words=command.words[found.start : found.stop],
            assignments=(*command.assignments, *found.assignments),
            open_ended=command.open_ended or found.open_ended,
            privileged=command.privileged or found.privileged,
        )
        return [*([] if found.transparent else [command]), *self._unwrapped(inner, depth + 1)]

    def _word(self, node: Node, at: _Context) -> Word:
        source = at.text(node)
        inner = node.named_children[0] if node.type == "command_name" and node.named_children else node
        text = _text(inner, at.data)
        plain = re.sub(r"'[^']*'|\"[^\"]*\"", "", source)
        if text is not None and _BRACES.search(plain):
            text = None
        return Word(text, source, glob=bool(_GLOB.search(plain)))


@dataclass(frozen=True)
class _Context:
    """The text being read, and how many shells deep it stands."""

    data: bytes
    depth: int

    def text(self, node: Node) -> str:
        return self.data[node.start_byte : node.end_byte].decode("utf-8", errors="surrogateescape")


def _inherit(inner: Command, outer: Command) -> Command:
    """What holds for a shell holds for the commands of its script."""
    return replace(
        inner,
        assignments=(*outer.assignments, *inner.assignments),
        open_ended=outer.open_ended or inner.open_ended,
        privileged=outer.privileged or inner.privileged,
    )


def _text(node: Node, data: bytes) -> str | None:
    """What the program will see for this node, quotes removed; None when an expansion decides."""
    raw = data[node.start_byte : node.end_byte].decode("utf-8", errors="surrogateescape")
    if node.type in ("word", "number"):
        return None if node.named_children else re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)
    if node.type == "raw_string":
        return raw[1:-1]
    if node.type == "string":
        if not raw.startswith('"') or any(child.type != "string_content" for child in node.named_children):
            return None
        return re.sub(r'\\([$`"\\])', r"\1", raw[1:-1].replace("\\\n", ""))
    if node.type == "ansi_c_string":
        return None if "\\" in raw else raw[2:-1]
    if node.type == "concatenation":
        parts = [_text(child, data) for child in node.children]
        joined = node.children and all(
            a.end_byte == b.start_byte for a, b in zip(node.children, node.children[1:], strict=False)
        )
        return "".join(part for part in parts if part is not None) if joined and None not in parts else None
    if not node.is_named and not node.children:
        return raw
    return None


def _invisible(character: str) -> bool:
    """Control characters, and everything that looks like a blank or like nothing but is no blank to the shell."""
    if character in " \t\n":
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp", "Co", "Cn")


def _names(node: Node) -> Iterator[Node]:
    """The variables that an assignment sets, `export` exports or `unset` removes."""
    for child in node.named_children:
        if child.type in ("variable_assignment", "subscript"):
            yield from _names(child)
        elif child.type == "variable_name":
            yield child


def _raw_strings(node: Node, data: bytes) -> str:
    """All text inside single quotes below `node`: nothing the grammar would find commands in, but a test may."""
    own = data[node.start_byte : node.end_byte].decode("utf-8", errors="surrogateescape")
    return (own if node.type == "raw_string" else "") + "".join(
        _raw_strings(child, data) for child in node.named_children
    )
