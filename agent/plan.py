"""The plan of an implementation: which steps change what, and the commands that decide whether they are done.

    PlanTools(repository, …)     the tools of the planning agent: reading, and `propose_plan`, which ends its work
    Plan.model_validate(data)    what the user is shown, approves, and the run then keeps to

A plan that could not fail is sent back: every step needs a check, and a check must be a command that can go wrong and
that the run is allowed to execute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ml_engineer.agent.calls import Call, Gate, Outcome
from ml_engineer.agent.finish import as_quoted
from ml_engineer.agent.log import Record
from ml_engineer.agent.toolbox import RepositoryTools
from ml_engineer.report.schema import STEP_NAMES
from ml_engineer.tools import shell_grammar
from ml_engineer.tools.permissions import Permissions

NAME = "propose_plan"
_ALWAYS_PASSES = frozenset({"true", ":", "echo", "printf", "exit", "cd", "pwd", "sleep", "set", "export"})

_DESCRIPTION = """Ends the planning and shows the plan to the user. Only steps that change something are in it. Each \
has its checks: shell commands, run in the repository's root in a sandbox without a network, that fail today or would \
fail if the change were wrong, and end with 0 when it is right. A step is done when all its checks pass, not before."""

PROPOSE_PLAN: dict[str, Any] = {
    "name": NAME,
    "description": _DESCRIPTION,
    "input_schema": {
        "type": "object",
        "properties": {
            "summary": {"type": "string", "description": "What the task comes to, in two or three sentences."},
            "steps": {
                "type": "array",
                "description": "The steps that change something, in the order of their numbers.",
                "items": {
                    "type": "object",
                    "properties": {
                        "step": {"type": "integer", "description": "Number of the step, 1 to 10."},
                        "title": {"type": "string", "description": "The change, up to ten words, for the commit."},
                        "changes": {"type": "string", "description": "What is changed, file by file, and why."},
                        "checks": {
                            "type": "array",
                            "items": {"type": "string"},
                            "description": "Commands that must end with 0.",
                        },
                    },
                    "required": ["step", "title", "changes", "checks"],
                },
            },
            "verification": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Commands for the very end, such as the project's tests. The checks run again anyway.",
            },
        },
        "required": ["summary", "steps"],
    },
}


class PlannedStep(BaseModel):
    model_config = ConfigDict(extra="ignore")

    step: int = Field(ge=1, le=10)
    title: str = Field(min_length=3, max_length=120)
    changes: str = Field(min_length=3, max_length=6_000)
    checks: list[str] = Field(min_length=1, max_length=10)

    @property
    def name(self) -> str:
        return STEP_NAMES[self.step]


class Plan(BaseModel):
    """What is going to be changed, and how it will be proved."""

    model_config = ConfigDict(extra="ignore")

    summary: str = Field(min_length=3, max_length=4_000)
    steps: list[PlannedStep] = Field(min_length=1, max_length=10)
    verification: list[str] = Field(default=[], max_length=20)

    @field_validator("steps", "verification", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """A list that was sent as text is understood."""
        return json.loads(value) if isinstance(value, str) else value

    def step(self, number: int) -> PlannedStep | None:
        return next((one for one in self.steps if one.step == number), None)

    @property
    def commands(self) -> list[str]:
        """Every command that is agreed with the plan, each once: the checks in order, then the verification."""
        return list(dict.fromkeys([*(check for step in self.steps for check in step.checks), *self.verification]))

    def text(self) -> str:
        """The plan for a person and for the model."""
        lines = [self.summary, ""]
        for one in self.steps:
            lines += [f"Step {one.step}, {one.name}: {one.title}", f"  {one.changes}", "  done when these pass:"]
            lines += [_shown(check) for check in one.checks]
        if self.verification:
            lines += ["At the end:", *map(_shown, self.verification)]
        return "\n".join(lines)


def _shown(command: str) -> str:
    """A command whose further lines cannot be taken for something else."""
    return "    $ " + command.replace("\n", "\n    > ")


@dataclass
class PlanTools:
    """The tools of the planning agent. `permissions` are those of the run: they judge the checks beforehand."""

    repository: RepositoryTools
    permissions: Permissions
    _definitions: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._definitions = [*self.repository.definitions(), PROPOSE_PLAN]

    def definitions(self) -> list[dict[str, Any]]:
        return self._definitions

    def is_read_only(self, call: Call) -> bool:
        return True

    async def run(self, call: Call) -> Outcome:
        if call.name != NAME:
            return as_quoted(call, await self.repository.run(call))
        try:
            plan = Plan.model_validate(call.input)
        except (ValidationError, ValueError) as error:
            return Outcome(f"The plan cannot be read: {_problems(error)}. Send it again.", is_error=True)
        wrong = self._wrong(plan)
        if wrong:
            return Outcome("The plan needs another look:\n" + "\n".join(f"- {one}" for one in wrong), is_error=True)
        ordered = plan.model_copy(update={"steps": sorted(plan.steps, key=lambda one: one.step)})
        return Outcome("The plan is shown to the user.", {"plan": ordered.model_dump()}, ends=True)

    def mark(self, call: Call) -> Record:
        return {}

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        return None

    def _wrong(self, plan: Plan) -> list[str]:
        numbers = [one.step for one in plan.steps]
        wrong = [f"step {n} is there twice; make it one" for n in sorted({n for n in numbers if numbers.count(n) > 1})]
        for command in plan.commands:
            script = shell_grammar.parse(command)
            names = {one.name for one in script.commands}
            if names <= _ALWAYS_PASSES or command.rstrip().endswith(("|| true", "|| :", "; true", "; :")):
                wrong.append(f"`{command}` cannot fail, so it proves nothing")
            decision = self.permissions.decide("Bash", {"command": command})
            if decision.behaviour == "deny":
                wrong.append(f"`{command}` may not be run: {decision.reason}")
        return wrong


@dataclass(frozen=True)
class PlanGate:
    """The permissions, and a plan that may always be proposed."""

    permissions: Gate

    async def refuses(self, call: Call) -> str | None:
        return None if call.name == NAME else await self.permissions.refuses(call)


def _problems(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_url=False)[:5]
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg'][:1].lower()}{one['msg'][1:]}" for one in found)
