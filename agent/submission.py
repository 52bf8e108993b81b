"""What a model hands in at the end of a step: flat rows that a weak model can fill as well.

    FINISH_STEP                        the tool's definition, the same bytes for every step
    Submission.read(input)             every row that can be read, and in `problems` what is wrong with the others

Rows are read one by one and leniently (a list sent as text, a number sent as text), so that one bad row costs that row
only. Whether a row is true is the business of `agent.gate`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ml_engineer.report.schema import ClaimState, Severity

NAME = "finish_step"

_DESCRIPTION = """Ends the step and hands in its result. Everything in it is checked at once: quotes against the bytes \
of the files, commands and measurements against what was really run, states against what is needed for them. What does \
not hold comes back with the reason; correct it and call finish_step again. After two corrections what still does not \
hold is left out and counted. Send all rows again each time.

- Several places for one finding or one field: repeat the row with the same title or field and another place.
- A quote is copied from the file exactly as it stands there, without the line numbers that Read shows."""

PLACE = {
    "path": {"type": "string", "description": "File, relative to the repository's root."},
    "line": {"type": "integer", "description": "Line of the quote, from 1. In a notebook: within the cell."},
    "cell": {"type": "integer", "description": "For notebooks only: the cell, from 0."},
    "quote": {"type": "string", "description": "The text that stands there, one to five lines, copied exactly."},
}


def rows(description: str, required: list[str], **properties: Any) -> dict[str, Any]:
    """Schema of a list of rows."""
    row = {"type": "object", "properties": properties, "required": required}
    return {"type": "array", "description": description, "items": row}


FINISH_STEP: dict[str, Any] = {
    "name": NAME,
    "description": _DESCRIPTION,
    "input_schema": {
        "type": "object",
        "properties": {
            "summary": {
                "type": "string",
                "description": "Two to five sentences: the state of this step, what matters most, what to do first.",
            },
            "claims": rows(
                "Values for the report's fields that this step owns, as named in the brief.",
                ["field", "state", "text"],
                field={"type": "string", "description": "Name of the field, exactly as in the brief."},
                state={
                    "type": "string",
                    "description": "present (needs a quote), measured (needs a measurement), implemented (needs a "
                    "quote in a file that this step changed), absent (needs the place that needs it and a search that "
                    "found nothing), proposed (a design, not there yet), unknown.",
                },
                text={"type": "string", "description": "The value, one to three sentences."},
                **PLACE,
                command={"type": "string", "description": "A command that was run with Bash in this step."},
                measurement={"type": "string", "description": "Name of a measurement made in this step."},
                searched={"type": "string", "description": "For absent: the pattern given to Grep or Glob."},
            ),
            "findings": rows(
                "Problems that the findings in the brief do not have yet, each with the place where it shows.",
                ["title", "why", "remedy", "severity", "path", "line", "quote"],
                title={"type": "string", "description": "The problem, up to twelve words."},
                why={"type": "string", "description": "What it leads to in production."},
                remedy={"type": "string", "description": "What to do, concretely."},
                severity={"type": "string", "description": "critical, high, medium, low or info."},
                **PLACE,
            ),
            "reviews": rows(
                "Your judgement on findings of the brief, where you have looked and have something to say.",
                ["finding", "verdict", "reason"],
                finding={"type": "string", "description": "Its number in the brief, such as F3."},
                verdict={"type": "string", "description": "confirmed, or disputed (needs a quote of code)."},
                reason={"type": "string", "description": "Why, in one sentence."},
                **PLACE,
            ),
        },
        "required": ["summary"],
    },
}


class Row(BaseModel):
    """Base of the rows. What else a model sends along is ignored: it carries no meaning here."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    path: str = ""
    line: int = Field(default=1, ge=1)
    cell: int | None = Field(default=None, ge=0)
    quote: str = ""

    @field_validator("path", mode="before")
    @classmethod
    def _plain_path(cls, value: Any) -> Any:
        return value.strip().removeprefix("./") if isinstance(value, str) else ("" if value is None else value)

    @field_validator("quote", mode="before")
    @classmethod
    def _no_quote(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("line", mode="before")
    @classmethod
    def _first_line(cls, value: Any) -> Any:
        """`12-14` and `L12` are understood as line 12."""
        if value is None:
            return 1
        return value.strip().lstrip("Ll").partition("-")[0] if isinstance(value, str) else value


class ClaimRow(Row):
    field: str
    state: ClaimState
    text: str = Field(min_length=1, max_length=2_000)
    command: str | None = None
    measurement: str | None = None
    searched: str | None = None


class FindingRow(Row):
    title: str = Field(min_length=3, max_length=200)
    why: str = Field(min_length=3, max_length=2_000)
    remedy: str = Field(min_length=3, max_length=2_000)
    severity: Severity


class ReviewRow(Row):
    finding: str
    verdict: Literal["confirmed", "disputed"]
    reason: str = Field(min_length=3, max_length=1_000)


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Submission:
    """What was handed in, as far as it can be read."""

    summary: str
    claims: list[ClaimRow] = field(default_factory=list)
    findings: list[FindingRow] = field(default_factory=list)
    reviews: list[ReviewRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Submission:
        """Never raises: what cannot be read is a line in `problems`."""
        problems: list[str] = []
        summary = raw.get("summary")
        if not isinstance(summary, str) or not summary.strip():
            problems.append("summary: it is missing; say in two to five sentences how this step stands")
            summary = ""
        return cls(
            summary.strip(),
            read_rows(raw.get("claims"), ClaimRow, "claims", problems),
            read_rows(raw.get("findings"), FindingRow, "findings", problems),
            read_rows(raw.get("reviews"), ReviewRow, "reviews", problems),
            problems,
        )


def read_rows(raw: Any, model: type[R], name: str, problems: list[str]) -> list[R]:
    """The rows that can be read; what is wrong with the others is added to `problems`."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            raw = None if not raw.strip() else raw
    if raw is None:
        return []
    if isinstance(raw, dict):
        raw = [raw]
    if not isinstance(raw, list):
        problems.append(f"{name}: it must be a list of rows")
        return []
    found = []
    for number, one in enumerate(raw):
        try:
            found.append(model.model_validate(_lowered(one)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the row"
            problems.append(f"{name}[{number}].{where}: {first['msg'][:1].lower()}{first['msg'][1:]}")
    return found


def _lowered(row: Any) -> Any:
    """Words of a fixed set in lower case: `High` and `Present` are understood."""
    if not isinstance(row, dict):
        return row
    fixed = ("state", "severity", "verdict")
    return {
        key: value.strip().lower() if key in fixed and isinstance(value, str) else value for key, value in row.items()
    }
