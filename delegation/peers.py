"""Peers: who can be asked, read from Markdown files with frontmatter, the format that Claude Code reads.

    ---
    name: data-scientist
    description: Judges whether a model's figures can be trusted.
    tools: Read, Grep, Glob          (or a YAML list; left out: all)
    model: inherit
    ---
    The peer's prompt.

Six peers ship in `prompts/peers/`. A user's own override them by name, the later place winning: `~/.claude/agents`,
then `peers/` beside config.toml. Files of the target repository are read only from a folder that the caller names.
This module stays free of pydantic, so that `ml-engineer peers` starts fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

MAX_FILE = 1_000_000  # bytes; an agent file is some kilobytes
_FRONTMATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.S | re.M)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LINES = re.compile(r"(?:(?:[A-Za-z][\w-]*:[ \t]+(?![\"'\[{|>&*!%@`#])\S[^\n]*)?[ \t\r]*(?:\n|\Z))+")
_PLAIN = re.compile(r"^(name|description|tools|model):[ \t]+(?![\"'\[{|>])(.+)$", re.M)


class PeerError(Exception):
    """A peer's file that cannot be used. The message names the file, what is wrong, and what it should say."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Someone who can be asked. `tools` None is every tool; `source` says where the definition stands."""

    name: str
    description: str
    prompt: str
    tools: tuple[str, ...] | None = None
    model: str | None = None
    source: str = "built in"

    @property
    def summary(self) -> str:
        """First sentence of the description, on one line."""
        text = " ".join(self.description.split())
        return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


@dataclass
class Directory:
    """Every peer by name, in a stable order, and what was wrong with files that could not be read."""

    peers: dict[str, Peer] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def parse_peer(text: str, source: str) -> Peer:
    """A peer from the text of its file. Unknown fields are ignored, as Claude Code does. Raises PeerError."""
    match = _FRONTMATTER.match(text)
    if match is None:
        raise PeerError(f"{source}: no frontmatter; begin the file with ---, name:, description:, ---")
    fields = _fields(match[1], source)
    name = fields.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PeerError(f"{source}: name is {name!r}; it must be letters, digits, - and _, for example data-scientist")
    description = fields.get("description")
    if not isinstance(description, str) or not description.strip():
        raise PeerError(f"{source}: {name} has no description; say in a sentence when to ask it")
    prompt = text[match.end() :].strip()
    if not prompt:
        raise PeerError(f"{source}: {name} has no text below the frontmatter; that text is what the peer is told")
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise PeerError(f"{source}: model of {name} is {model!r}; it must be a name")
    return Peer(name, description.strip(), prompt, _tools(fields.get("tools"), f"{source}: {name}"), model, source)


def _fields(block: str, source: str) -> dict[str, Any]:
    """The frontmatter as a mapping.

    Most files hold nothing but lines of `key: text`, which are read as they stand: that is quick, and takes text with a
    colon in it, as many agent files have and YAML refuses. Anything else is YAML, with such lines quoted where need be.
    """
    if _LINES.fullmatch(block):
        pairs = (line.partition(":") for line in block.splitlines() if line.strip())
        return {key: text.strip() for key, _, text in pairs}
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        fields = yaml.load(block, loader)
    except yaml.YAMLError as error:
        try:
            fields = yaml.load(_PLAIN.sub(_quoted, block), loader)
        except yaml.YAMLError:
            mark = getattr(error, "problem_mark", None)
            line = f" in line {mark.line + 2}" if mark is not None else ""
            problem = getattr(error, "problem", error)
            raise PeerError(f"{source}: the frontmatter is no YAML{line} ({problem})") from error
    if not isinstance(fields, dict):
        raise PeerError(f"{source}: the frontmatter has no fields; it needs name: and description:")
    return fields


def _quoted(match: re.Match[str]) -> str:
    return f"{match[1]}: '{match[2].rstrip().replace(chr(39), chr(39) * 2)}'"


def _tools(value: Any, whose: str) -> tuple[str, ...] | None:
    """Tool names from a comma-separated line or a list; None where every tool is meant."""
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PeerError(f"{whose}: tools is {value!r}; it must be a list of names, or names separated by commas")
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def built_in() -> Directory:
    """The six peers that ship with the product."""
    directory = Directory()
    for entry in sorted(resources.files("ml_engineer.prompts").joinpath("peers").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".md"):
            peer = parse_peer(entry.read_text("utf-8"), "built in")
            directory.peers[peer.name] = peer
    return directory


def user_folders(config: Path) -> list[Path]:
    """Where a user keeps peers of their own, given the path of config.toml; the later wins. None is in a target."""
    return [Path.home() / ".claude" / "agents", config.parent / "peers"]


def load_peers(folders: Iterable[Path]) -> Directory:
    """The built-in peers, overridden and added to by the files of `folders`; a later folder wins.

    A folder that is not there holds nothing. A file that cannot be used is left out and named in `problems`.
    """
    directory = built_in()
    for folder in folders:
        for path in sorted(folder.rglob("*.md")) if folder.is_dir() else ():
            try:
                peer = parse_peer(_read(path), str(path))
            except PeerError as error:
                directory.problems.append(str(error))
            else:
                directory.peers[peer.name] = peer
    return directory


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise PeerError(f"{path}: larger than {MAX_FILE:,} bytes; this is no agent file")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PeerError(f"{path}: cannot be read ({error})") from error
