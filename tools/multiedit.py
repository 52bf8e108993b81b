"""MultiEdit: several replacements in one file, one after the other; all of them or none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.change import change_file
from ml_engineer.tools.context import Context
from ml_engineer.tools.edit import Applied, apply, report, text_of
from ml_engineer.tools.write import encode

DESCRIPTION = """Makes several replacements in one file that was read before; all of them or, if one fails, none.
Each edit follows Edit's rules and works on what the one before left."""


class OneEdit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    old_string: str = Field(description="The text to replace.")
    new_string: str = Field(description="What to put in its place.")
    replace_all: bool = Field(False, description="Replace every occurrence.")
    cell: int | None = Field(None, ge=0, description="In a notebook: index of the cell.")


class MultiEditInput(ToolInput):
    file_path: str = Field(min_length=1, description="Path from the workspace root.")
    edits: list[OneEdit] = Field(min_length=1, description="The replacements, in order.")


async def run(context: Context, call: MultiEditInput) -> ToolResult:
    applied: list[Applied] = []

    def compute(old: bytes | None) -> bytes:
        file = text_of(old, call.file_path)
        text = file.text
        for number, edit in enumerate(call.edits, 1):
            try:
                applied.append(apply(text, edit, call.file_path))
            except ToolError as error:
                raise ToolError(f"Edit {number} of {len(call.edits)} failed, so none was made. {error}") from None
            text = applied[-1].text
        return encode(file, text, call.file_path)

    written = change_file(context, "MultiEdit", call.file_path, compute)
    return report(written, applied, list(call.edits))


MULTI_EDIT = Tool("MultiEdit", DESCRIPTION, MultiEditInput, run, read_only=False)
