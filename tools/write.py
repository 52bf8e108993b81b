"""Write: a whole file, new or replaced, in one step."""

from __future__ import annotations

from pydantic import Field

from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.change import change_file
from ml_engineer.tools.context import Context
from ml_engineer.tools.ledger import short_hash
from ml_engineer.tools.textfile import TextFile, decode

DESCRIPTION = """Writes a whole file, new or in place of one that was read in full; folders are made.
For a change of a part use Edit or MultiEdit."""


class WriteInput(ToolInput):
    file_path: str = Field(min_length=1, description="Path from the workspace root.")
    content: str = Field(description="All of the file's new content.")


async def run(context: Context, call: WriteInput) -> ToolResult:
    kept: list[str] = []

    def compute(old: bytes | None) -> bytes:
        style = decode(old) if old else None
        if style is None:
            return encode(TextFile("", "utf-8"), call.content, call.file_path)
        content = call.content
        if style.newline == "\r\n" and not style.mixed_newlines and "\r" not in content:
            content = content.replace("\n", "\r\n")
            kept.append("CRLF line endings")
        if style.label:
            kept.append(style.label)
        return encode(style, content, call.file_path)

    written = change_file(context, "Write", call.file_path, compute, whole=True)
    verb = "Created" if written.before is None else "Replaced"
    lines = call.content.count("\n") + (not call.content.endswith("\n") and call.content != "")
    note = f" Kept: {', '.join(kept)}." if kept else ""
    size = "1 line" if lines == 1 else f"{lines:,} lines"
    text = f"{verb} {written.path}: {size}, sha256 {short_hash(written.after)}.{note}"
    return ToolResult(text, written.data() | {"lines": lines, "created": written.before is None})


def encode(style: TextFile, text: str, path: str) -> bytes:
    """`text` as bytes in the file's encoding. Raises ToolError for a character that cannot be written in it."""
    try:
        return style.encode(text)
    except UnicodeEncodeError as error:
        bad = text[error.start]
        line = text.count("\n", 0, error.start) + 1
        if 0xD800 <= ord(bad) <= 0xDFFF:
            reason = f"U+{ord(bad):04X} is half a character and cannot be written. Send the whole character."
        else:
            reason = (
                f"{path} is in {style.encoding.upper()}, which has no {bad!r}. Use characters of that encoding, "
                "or convert the file to UTF-8 first (Bash: iconv)."
            )
        raise ToolError(f"Line {line} of the new text: {reason} Nothing was changed.") from None


WRITE = Tool("Write", DESCRIPTION, WriteInput, run, read_only=False)
