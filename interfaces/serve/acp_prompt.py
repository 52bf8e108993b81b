"""An editor's prompt as words for the session: its text, and the files and passages that come with it.

A file that the user has mentioned is read by the editor, when the editor offers that, so that unsaved changes count;
else it is left to the session as `@path`. What comes along is marked as quoted material.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from acp import RequestError
from acp.agent.connection import AgentSideConnection
from acp.schema import (
    EmbeddedResourceContentBlock,
    ResourceContentBlock,
    TextContentBlock,
    TextResourceContents,
)

from ml_engineer.agent.prompts import quoted


def place_of(uri: str, cwd: Path) -> Path | None:
    """The file of a `file:` address below `cwd`, or None."""
    parts = urlsplit(uri)
    if parts.scheme not in ("file", ""):
        return None
    place = (cwd / unquote(parts.path)).resolve()
    return place if place.is_relative_to(cwd) else None


async def buffer(connection: AgentSideConnection, session_id: str, place: Path) -> str | None:
    """The file as the editor has it, when that is not what is on the disk; None where they are the same."""
    try:
        shown = (await connection.read_text_file(session_id=session_id, path=str(place))).content
    except RequestError:
        return None  # the editor cannot read it, so it has no changes in it either
    try:
        kept = place.read_text("utf-8")
    except (OSError, ValueError):
        return shown
    return None if shown == kept else shown


async def words(
    prompt: Sequence[Any], connection: AgentSideConnection, session_id: str, cwd: Path, *, reads: bool
) -> str:
    """The prompt as one text. `reads`: the editor offers its files. Invalid params for what is no text."""
    parts: list[str] = []
    behind: list[str] = []
    for block in prompt:
        if isinstance(block, TextContentBlock):
            parts.append(block.text)
        elif isinstance(block, ResourceContentBlock):
            place = place_of(block.uri, cwd)
            unsaved = await buffer(connection, session_id, place) if place is not None and reads else None
            name = str(place.relative_to(cwd)) if place is not None else block.uri
            parts.append(name if unsaved is not None or place is None else f'@"{name}"')
            if unsaved is not None:
                behind.append(quoted(f"{name} in the editor, with changes that are not saved", unsaved))
        elif isinstance(block, EmbeddedResourceContentBlock) and isinstance(block.resource, TextResourceContents):
            behind.append(quoted(block.resource.uri, block.resource.text))
        else:
            raise RequestError.invalid_params({"details": f"a prompt is text and files, not {block.type}"})
    return "\n\n".join(["".join(parts), *behind]).strip()
