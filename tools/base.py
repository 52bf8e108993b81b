"""What a tool is: a name, a description, a pydantic input and an async function that gives a `ToolResult`.

    Tool(name, description, Input, run, read_only).definition() -> {"name", "description", "input_schema"}

A tool that cannot do what was asked raises `ToolError` with a message for the model: what is wrong, where, what next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from ml_engineer.tools.context import Context


class ToolInput(BaseModel):
    """Base of the input models. Unknown parameters are errors: a misspelt one must not be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class ToolError(Exception):
    """The call cannot be carried out. The message is for the model and ends with what to do next."""


@dataclass(frozen=True)
class ToolResult:
    """`text` is what the model reads; `data` is the same as plain JSON values, for the interfaces and the records."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    is_error: bool = False


Input = TypeVar("Input", bound=ToolInput)
_UNTOLD = frozenset("title additionalProperties minLength maxLength minItems maxItems minimum maximum".split())
_EMPTY: tuple[object, ...] = ("", ".", [], False, 0)


@dataclass(frozen=True)
class Tool(Generic[Input]):
    """One tool. `read_only` tools change nothing in the workspace and may run side by side."""

    name: str
    description: str
    input_model: type[Input]
    run: Callable[[Context, Input], Awaitable[ToolResult]]
    read_only: bool

    def definition(self) -> dict[str, Any]:
        """The tool as the Messages API wants it. The same bytes on every call, so that prompts stay cacheable."""
        return {"name": self.name, "description": self.description, "input_schema": input_schema(self.input_model)}


def input_schema(model: type[ToolInput]) -> dict[str, Any]:
    """JSON schema of `model` as far as it tells a model something, since it is sent with every request.

    Without titles, `$ref` and `null` branches, without bounds and empty defaults: what is out of bounds, or a parameter
    that does not exist, is refused with a message when it comes.
    """
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    clean = _clean(schema, definitions)
    assert isinstance(clean, dict)
    clean.pop("description", None)  # the model's docstring is for readers of the code
    return clean


def _clean(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_clean(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = dict(definitions[node["$ref"].rsplit("/", 1)[1]])
        target.pop("description", None)
        return _clean({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    branches = [branch for branch in node.get("anyOf", []) if branch != {"type": "null"}]
    if len(branches) == 1:
        rest = {k: v for k, v in node.items() if k not in ("anyOf", "default")}
        return _clean({**branches[0], **rest}, definitions)
    cleaned = {}
    for key, value in node.items():
        if key == "properties":  # here a key is a parameter's name, which may well be "title"
            cleaned[key] = {name: _clean(prop, definitions) for name, prop in value.items()}
        elif key not in _UNTOLD and not (key == "default" and value in _EMPTY):
            cleaned[key] = _clean(value, definitions)
    return cleaned
