"""`@path` in what the user says: the file or the folder that is meant comes with the words, as quoted material.

    blocks, attached = await expand("why is @train.py so slow?", context, permissions)

A file is shown as Read shows it, a folder as LS does: nothing outside the repository, no binary, sizes capped, and the
tools know that the model has seen it. `@name` that is no path here stays as it is: it may be a decorator or a person.
Words that are longer than a prompt should be are kept in a file that the model can read, with their beginning and end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ml_engineer.agent.prompts import quoted
from ml_engineer.agent.transcript import Block
from ml_engineer.tools.context import Context
from ml_engineer.tools.permissions import Permissions
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.truncate import head_and_tail

MAX_MENTIONS = 12
MAX_CHARS = 120_000  # of all attachments together
MAX_WORDS = 60_000  # characters of the user's own words; beyond that they are a paste
_SHOWN = 20_000  # of a paste
_MENTION = re.compile(r'(?<![\w@/.])@(?:"([^"\n]+)"|([^\s"\'`<>|]+))')


@dataclass(frozen=True)
class Attached:
    """One mention that was taken up. `problem` says why it could not be."""

    path: str
    problem: str = ""


async def expand(words: str, context: Context, permissions: Permissions) -> tuple[list[Block], list[Attached]]:
    """The user's words, and behind them what they mention."""
    blocks: list[Block] = [{"type": "text", "text": words}]
    attached: list[Attached] = []
    room = MAX_CHARS
    for path in _mentioned(words, permissions.workspace)[:MAX_MENTIONS]:
        text, problem = await _read(path, context, permissions)
        if not problem and len(text) > room:
            problem = f"the attachments of one message are limited to {MAX_CHARS:,} characters together"
        attached.append(Attached(path, problem))
        if not problem:
            room -= len(text)
            blocks.append({"type": "text", "text": quoted(f"@{path}", text)})
        else:
            blocks.append({"type": "text", "text": f"[@{path} is not attached: {problem}]"})
    return blocks, attached


def _mentioned(words: str, workspace: Path) -> list[str]:
    """The paths that are meant, each once: those that exist, and those that can only be meant as paths."""
    found: dict[str, None] = {}
    for match in _MENTION.finditer(words):
        exact = match[1] is not None
        name = match[1] or match[2]
        candidates = [name] if exact else [name, name.rstrip(".,;:!?)]}")]
        path = next((one for one in candidates if one and (workspace / one).exists()), None)
        if path is None and (exact or name.startswith(("/", "../", "~"))):
            path = candidates[-1]
        if path:
            found[path] = None
    return list(found)


async def _read(path: str, context: Context, permissions: Permissions) -> tuple[str, str]:
    """The text, or why there is none."""
    name, key = ("LS", "path") if (permissions.workspace / path).is_dir() else ("Read", "file_path")
    decision = permissions.decide(name, {key: path})
    if decision.behaviour != "allow":
        return "", decision.reason
    result = await invoke(name, {key: path}, context)
    return ("", result.text) if result.is_error else (result.text, "")


def shorten(words: str, context: Context) -> str:
    """The words, or, of a very long paste, beginning and end and where all of it is."""
    if len(words) <= MAX_WORDS:
        return words
    path = context.spills.save("paste", words.encode("utf-8", "replace").decode())
    cut = head_and_tail(words, max_chars=_SHOWN)
    return f"{cut.text}\n[All of it, {len(words):,} characters, is in {path}; Read or Grep it.]"
