"""`python -m ml_engineer.interfaces.schemas`: a JSON Schema for each output that other programs read, in docs/schema.

The schemas are made from the models behind the outputs; a test keeps the files and the models equal, and checks real
outputs against them. Outputs that are written without pydantic, since their commands have to start fast, have their
models here: `Rules`, `Peers`, `RunLine`, `StreamLine`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ml_engineer.interfaces.batch.summary import Summary
from ml_engineer.interfaces.serve import results
from ml_engineer.report.schema import Report

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schema"


class Output(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- lists of the command line ----------------------------------------------------------------------------------------


class Peer(Output):
    name: str
    summary: str
    reached_by: str = Field(description="the transport and its target, or queue: the brief is written and kept")
    cues: list[str] = Field(description="cues of the routing graph that lead to it")
    source: str = Field(description="where it is defined")


class Limits(Output):
    threshold: str = Field(description="severity at which a hand-off starts")
    parallel: int
    depth: int
    hand_offs: int
    max_cost: float = Field(description="US dollars, for all peers of a run")


class Peers(Output):
    """`ml-engineer peers --json`."""

    peers: list[Peer]
    limits: Limits
    problems: list[str] = Field(description="definitions that cannot be read")


class RunLine(Output):
    """A line of `ml-engineer runs list --json`."""

    id: str
    state: Literal["finished", "running", "interrupted", "open"]
    mode: str | None
    target: str | None


class MeasureError(Output):
    """Nothing was measured. The exit code is 2."""

    error: str


# --- the stream of an implementation ----------------------------------------------------------------------------------


class Line(Output):
    session_id: str = Field(description="the run")
    uuid: str


class Init(Line):
    """First."""

    type: Literal["system"]
    subtype: Literal["init"]
    cwd: str
    tools: list[str]
    mcp_servers: list[str]
    model: str
    permissionMode: str  # noqa: N815 - the key that readers of such streams know
    agents: list[str]
    skills: list[str]


class AssistantMessage(Output):
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]] = Field(description="blocks of the Messages API")
    stop_reason: str | None
    usage: dict[str, Any]


class Assistant(Line):
    """An answer of the model. `agent` names the step at work."""

    type: Literal["assistant"]
    message: AssistantMessage
    parent_tool_use_id: None
    agent: str


class ToolResultBlock(Output):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str
    is_error: bool = False


class UserMessage(Output):
    role: Literal["user"]
    content: list[ToolResultBlock]


class User(Line):
    """The result of a tool call."""

    type: Literal["user"]
    message: UserMessage
    parent_tool_use_id: None
    agent: str


class Denial(Output):
    """A call that the permissions refused."""

    tool_name: str
    tool_use_id: str
    tool_input: dict[str, Any]


class Result(Line):
    """Last, in every case. `is_error` also where the coverage is partial."""

    type: Literal["result"]
    subtype: Literal["success", "error_max_turns", "error_max_budget_usd", "error_during_execution"]
    is_error: bool
    duration_ms: int
    num_turns: int
    result: str = Field(description="the report in Markdown, or what went wrong")
    total_cost_usd: float | None = Field(description="null: a price is not known")
    usage: dict[str, int]
    modelUsage: dict[str, dict[str, Any]]  # noqa: N815 - the key that readers of such streams know
    permission_denials: list[Denial]
    terminal_reason: str = Field(description="completed, incomplete, interrupted or error")
    structured_output: Report | None = None
    errors: list[str] | None = None


StreamLine = Annotated[Init | Assistant | User | Result, Field(discriminator="type")]

# file -> (what it describes, model)
OUTPUTS: dict[str, tuple[str, Any]] = {
    "report": ("`ml-engineer review --format json`, `runs report --format json`, report.json of a run", Report),
    "implement-stream": ("each line of `ml-engineer implement --stream-json`", StreamLine),
    "measure": ("`ml-engineer measure … --format json`", results.Figures | MeasureError),
    "rules": ("`ml-engineer rules --json`, the MCP resources rules://all and rule://ID", results.RuleList),
    "peers": ("`ml-engineer peers --json`", Peers),
    "runs": ("each line of `ml-engineer runs list --json`", RunLine),
    "batch-summary": ("summary.json of `ml-engineer batch`", Summary),
    "mcp-runs": ("the MCP resource runs://all", results.RunList),
    "mcp-review_repository": ("result of the MCP tool review_repository", results.ReviewResult),
    "mcp-list_findings": ("result of the MCP tool list_findings", results.FindingList),
    "mcp-explain_rule": ("result of the MCP tool explain_rule", results.RuleList),
    "mcp-plan_production": ("result of the MCP tool plan_production", results.ProductionPlan),
    "mcp-route": ("result of the MCP tool route", results.Routes),
    "mcp-ask": ("result of the MCP tool ask", results.Answer),
    "mcp-implement": ("result of the MCP tool implement", results.Implemented),
    "mcp-measure": ("result of the MCP tool measure", results.Measured),
}


def schema(name: str) -> dict[str, Any]:
    """The schema of the output of this name."""
    description, model = OUTPUTS[name]
    body = TypeAdapter(model).json_schema(mode="serialization")
    about = body.pop("description", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": description[:1].upper() + description[1:] + (f". {about}" if about else ""),
        **{key: value for key, value in body.items() if key != "title"},
    }


def files() -> dict[str, str]:
    """What docs/schema must hold, by file name."""
    found = {f"{name}.json": json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n" for name in OUTPUTS}
    return found | {"README.md": _index()}


def _index() -> str:
    lines = [
        "# Outputs for other programs",
        "",
        "A JSON Schema (2020-12) for each, made from the models by `python -m ml_engineer.interfaces.schemas`",
        "(`make docs`); do not edit. Real outputs are checked against them in the tests.",
        "",
        "Exit codes of every command: 0 done, and nothing at or above `--fail-on`; 1 findings at or above it; 2 usage,",
        "configuration or incomplete coverage; 130 interrupted (143 by SIGTERM). Standard output carries the result",
        "and nothing else.",
        "",
        "| schema | of |",
        "|---|---|",
        *(f"| [{name}.json]({name}.json) | {description} |" for name, (description, _) in OUTPUTS.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
