"""All tools by name, and the one way to call them.

    result = await invoke("Read", {"file_path": "src/model.py"}, context)

A wrong call is no exception: it comes back as a result with `is_error` and a message that says what was wrong, where,
and what to send instead.
"""

from __future__ import annotations

import difflib
import errno
import json
from typing import Any

from pydantic import ValidationError

from ml_engineer.tools.background import BASH_OUTPUT, KILL_SHELL
from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.bash import BASH
from ml_engineer.tools.context import Context
from ml_engineer.tools.edit import EDIT
from ml_engineer.tools.glob import GLOB
from ml_engineer.tools.grep import GREP
from ml_engineer.tools.ls import LS
from ml_engineer.tools.multiedit import MULTI_EDIT
from ml_engineer.tools.read import READ
from ml_engineer.tools.write import WRITE

_ALL: tuple[Tool[Any], ...] = (LS, READ, GREP, GLOB, BASH, WRITE, EDIT, MULTI_EDIT, BASH_OUTPUT, KILL_SHELL)
TOOLS: dict[str, Tool[Any]] = {tool.name: tool for tool in _ALL}

# Names that models know from other harnesses.
_KNOWN_AS = {
    "shell": "Bash",
    "run": "Bash",
    "execute": "Bash",
    "terminal": "Bash",
    "cat": "Read",
    "view": "Read",
    "open": "Read",
    "list": "LS",
    "dir": "LS",
    "find": "Glob",
    "search": "Grep",
    "rg": "Grep",
    "replace": "Edit",
    "str_replace": "Edit",
    "str_replace_editor": "Edit",
    "apply_patch": "Edit",
    "create": "Write",
    "notebookedit": "Edit",
}


async def invoke(
    name: str, raw_input: object, context: Context, tools: dict[str, Tool[Any]] | None = None
) -> ToolResult:
    """Runs one call as a model made it; `tools` are those it may use (all by default).

    What is wrong with the call, or with the files or the disk, is in the result. Only a defect of ours raises.
    """
    allowed = TOOLS if tools is None else tools
    tool = allowed.get(name)
    if tool is None:
        return _failed(_unknown_tool(name, allowed))
    try:
        call = parse(tool, raw_input)
        return await tool.run(context, call)
    except ToolError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(_system_error(name, error))


def parse(tool: Tool[Any], raw_input: object) -> ToolInput:
    """The call's input. Raises ToolError that names every wrong parameter."""
    if isinstance(raw_input, str):
        try:
            raw_input = json.loads(raw_input)
        except ValueError as error:
            raise ToolError(f"The input of {tool.name} is no valid JSON ({error}). {_usage(tool)}") from None
    if not isinstance(raw_input, dict):
        kind = type(raw_input).__name__
        raise ToolError(f"The input of {tool.name} must be an object with its parameters, not {kind}. {_usage(tool)}")
    try:
        parsed = tool.input_model.model_validate(raw_input)
    except ValidationError as error:
        problems = "; ".join(_problem(tool, one) for one in error.errors(include_url=False))
        raise ToolError(f"{tool.name} was not run: {problems}. {_usage(tool)}") from None
    assert isinstance(parsed, ToolInput)
    return parsed


def _problem(tool: Tool[Any], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "the input"
    match error["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            near = _near(str(error["loc"][-1]), _parameters(tool, error["loc"]))
            return f"there is no parameter {where}" + (f" (did you mean {near}?)" if near else "")
        case _:
            value = json.dumps(error["input"], default=str)
            value = value if len(value) <= 60 else f"{value[:60]}…"
            return f"{where} is {value}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _parameters(tool: Tool[Any], where: tuple[Any, ...]) -> list[str]:
    properties = tool.definition()["input_schema"]["properties"]
    if len(where) > 1:  # inside a list, such as edits.0.old_str
        properties = properties[where[0]]["items"]["properties"]
    return list(properties)


def _near(name: str, names: list[str]) -> str | None:
    known_as = {"path": "file_path", "file": "file_path", "filename": "file_path", "cmd": "command", "regex": "pattern"}
    known_as |= {"old_str": "old_string", "new_str": "new_string", "text": "content", "query": "pattern"}
    known_as |= {"cell_id": "cell", "id": "bash_id", "shell_id": "bash_id", "bash_id": "shell_id", "glob": "pattern"}
    if known_as.get(name) in names:
        return known_as[name]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None


def _usage(tool: Tool[Any]) -> str:
    schema = tool.definition()["input_schema"]
    required = schema.get("required", [])
    optional = [name for name in schema["properties"] if name not in required]
    parts = [f"required: {', '.join(required)}"] if required else []
    parts += [f"optional: {', '.join(optional)}"] if optional else []
    return f"Parameters of {tool.name}: {'; '.join(parts)}."


def _unknown_tool(name: str, tools: dict[str, Tool[Any]]) -> str:
    lowered = {known.lower(): known for known in tools}
    near = _KNOWN_AS.get(name.lower()) or next(
        (lowered[match] for match in difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)), None
    )
    hint = f" Did you mean {near}?" if near in tools else ""
    return f"There is no tool {name}.{hint} Tools: {', '.join(tools)}."


def _system_error(name: str, error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    advice = {
        errno.ENOSPC: "The disk is full: nothing was changed. Free space, then repeat the call.",
        errno.EACCES: "Permission is missing. Check with LS or Bash (ls -l), or choose another path.",
        errno.EPERM: "Permission is missing. Check with LS or Bash (ls -l), or choose another path.",
        errno.EROFS: "The file system is read-only. Choose another path.",
        errno.ENAMETOOLONG: "The path is too long. Choose a shorter one.",
    }.get(error.errno or 0, "Check the path with LS, then repeat the call.")
    return f"{name} failed: {error.strerror or error}{where}. {advice}"


def _failed(message: str) -> ToolResult:
    return ToolResult(message, {"error": message}, is_error=True)
