"""What a server does for its clients, whatever the protocol.

    service = Service(roots, policy, choice, pool)
    report = await service.review("churn", caller)            in a child of the pool
    report = await service.implement("churn", task, caller)   with a model, on a branch of its own, when allowed

Each operation checks paths and permissions itself. Refused says what a client does not get, and what to do next; what
goes wrong behind that is a fault of ours. Cancelling the task of an operation stops its work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml_engineer.agent.runs import ID, Event, Run, RunError, list_folders
from ml_engineer.interfaces.implement import MODES, begin, work
from ml_engineer.interfaces.jobs import review_meta
from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.interfaces.options import ALL_STEPS, Refusal
from ml_engineer.interfaces.rules import find, record
from ml_engineer.interfaces.serve.allowance import Allowance, Part
from ml_engineer.interfaces.serve.aside import aside, ask_at
from ml_engineer.interfaces.serve.common import Policy, Refused, Roots
from ml_engineer.interfaces.serve.results import (
    Answer,
    Figures,
    HandoffItem,
    Measured,
    Routes,
    RuleItem,
    RuleList,
    RunItem,
)
from ml_engineer.report.schema import (
    PIPELINE_COLUMNS,
    SECTION_FIELDS,
    STEP_NAMES,
    Claim,
    Report,
    Severity,
    pipeline_claim_name,
)
from ml_engineer.report.summary import spent
from ml_engineer.tools.permissions import Mode
from ml_engineer.tools.rules import Rule

if TYPE_CHECKING:
    from ml_engineer.agent.calls import Call
    from ml_engineer.agent.plan import Plan
    from ml_engineer.interfaces.pool import JobError, Pool
    from ml_engineer.tools.base import Tool
    from ml_engineer.tools.permissions import Decision

NODES = len(STEP_NAMES) + 5  # of the review's graph: survey, the steps, delegate, synthesise, check_evidence, seal
LISTED = 200  # runs
_SHOWN = ("mode", "target", "started")  # of what a run keeps
HEAVY = 2  # implementations, answers and measurements at once
# What only reads could still read outside of the roots: the sandbox shows commands the whole system.
_NO_COMMANDS = Rule("Bash", "deny", "Bash", reason="this server answers by reading files; use Read, Grep, Glob and LS")
NO_MODEL = (
    "{what} needs a model, and this server has none: its user can set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL and "
    "--model, in the server's environment. Reviews, findings, rules, plans and routes work without one."
)


def unheard(done: int, total: int, what: str) -> None:
    """For callers that don't want to know."""


@dataclass(frozen=True)
class Caller:
    """Who called. `progress(done, total, what)` hears how far the work is; it must not block. `ask` puts a yes-or-no
    question to the human behind the client; None where nobody can be asked."""

    progress: Callable[[int, int, str], None] = unheard
    ask: Callable[[str], Awaitable[bool]] | None = None


NOBODY = Caller()


@dataclass
class Service:
    """One server's work. `choice` is the model that its user offers to clients, with the caps of one call; `allowance`
    is what all calls may spend together."""

    roots: Roots
    policy: Policy
    choice: ModelChoice
    pool: Pool
    allowance: Allowance = field(default_factory=Allowance)
    _heavy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HEAVY))

    # --- without a model ------------------------------------------------------------------------------------------

    async def review(
        self,
        path: str,
        caller: Caller = NOBODY,
        *,
        steps: Iterable[int] = ALL_STEPS,
        with_model: bool = False,
    ) -> Report:
        """The sealed report of the repository at `path`."""
        from ml_engineer.interfaces.pool import JobError

        root = self.roots.resolve(path)
        wanted = frozenset(steps)
        if not wanted or not wanted <= ALL_STEPS:
            raise Refused("steps are numbers from 1 to 10; leave them out for all")
        ended = 0

        def listen(event: Event) -> None:
            nonlocal ended
            if event["type"] == "node":
                ended += 1
                caller.progress(ended, NODES, str(event["node"]).replace("_", " "))

        if with_model and self._settings() is None:
            raise Refused(NO_MODEL.format(what="a review with use_model"))
        with self.allowance.part(replace(self.choice, offline=not with_model)) as part:
            meta = await asyncio.to_thread(self._review_meta, root, wanted, part.choice)
            caller.progress(0, NODES, "reading the repository")
            part.begins()
            try:
                done = await self.pool.review(meta, listen)
            except JobError as error:
                raise Refused(_failed(path, error)) from error
            report = await asyncio.to_thread(Report.model_validate_json, done.report)
            part.spent(report.usage)
        return report

    def _review_meta(self, root: Path, steps: frozenset[int], choice: ModelChoice) -> dict[str, Any]:
        try:
            return review_meta(
                root,
                offline=choice.offline,
                model=choice.model,
                max_cost=choice.max_cost,
                max_turns=choice.max_turns,
                steps=steps,
            )
        except Refusal as error:
            raise Refused(error.message) from error

    def kept(self) -> Iterator[Run]:
        """Runs of repositories within the roots, latest first. One that cannot be read belongs to none."""
        for folder in reversed(list_folders()):
            with contextlib.suppress(RunError):
                run = Run.open(folder.name)
                if self.roots.holds(Path(str(run.meta.get("target", "")))):
                    yield run

    def runs(self) -> list[RunItem]:
        """The latest of them."""
        return [
            RunItem(run_id=run.id, state=run.state, **{key: str(run.meta.get(key)) for key in _SHOWN})
            for run in islice(self.kept(), LISTED)
        ]

    async def report(self, run_id: str) -> Report:
        """The sealed report of a finished run of a repository within the roots."""
        return await asyncio.to_thread(self._load, run_id)

    def _load(self, run_id: str) -> Report:
        from ml_engineer.report.seal import ReportError, load

        missing = (
            f"there is no run {run_id[:60]!r} of a repository that this server may use; review the repository first"
        )
        if not ID.match(run_id):  # a beginning of an id would be answered with those of other folders
            raise Refused(missing)
        try:
            run = Run.open(run_id)
        except RunError as error:
            raise Refused(missing) from error
        if not self.roots.holds(Path(str(run.meta.get("target", "")))):
            raise Refused(missing)
        if run.state != "finished":
            raise Refused(f"run {run.id} is {run.state}: it has no report yet; review the repository again")
        assert run.folder is not None, "a run that was opened is on disk"
        try:
            return load(run.folder / "report.json")
        except ReportError as error:
            raise Refused(str(error)) from error

    def rule(self, name: str) -> RuleList:
        """A rule by its id or name; several where one id has parts."""
        try:
            found = find(name.strip())
        except click.UsageError as error:
            raise Refused(error.message) from error
        return RuleList(rules=[RuleItem(**record(rule)) for rule in found])

    async def route(self, task: str, run_id: str | None) -> Routes:
        """Which peers the task is for: by its words, and with a run by what was found there. Nobody is asked."""
        from ml_engineer.agent.client import config_path
        from ml_engineer.delegation.routing import route
        from ml_engineer.delegation.settings import DelegationError, read_settings

        report = await self.report(run_id) if run_id is not None else None
        try:
            threshold = Severity(read_settings(config_path()).threshold)
        except DelegationError as error:
            raise Refused(str(error)) from error
        findings = report.findings if report is not None else []
        claims = _fields(report) if report is not None else {}
        handoffs = await asyncio.to_thread(route, findings, claims, task, threshold)
        named = report.run.id if report is not None else None
        return Routes(task=task, run_id=named, handoffs=[HandoffItem.of(one) for one in handoffs])

    # --- with a model ---------------------------------------------------------------------------------------------

    def _settings(self) -> Any:
        try:
            return self.choice.settings()
        except Refusal as error:
            raise Refused(error.message) from error

    def _making_room(self, caller: Caller) -> Caller:
        """The caller, for whose answers others do not have to wait."""
        ask = caller.ask
        if ask is None:
            return caller

        async def put(question: str) -> bool:
            self._heavy.release()
            try:
                return await ask(question)
            finally:
                await self._heavy.acquire()

        return replace(caller, ask=put)

    async def implement(self, path: str, task: str, caller: Caller = NOBODY) -> Report:
        """Carry out `task` on a branch of its own; the human behind the client approves the plan in mode `ask`."""
        self.policy.require("implement")
        root = self.roots.resolve(path)
        if not task.strip():
            raise Refused("say in `task` what is to be done")
        if self._settings() is None:
            raise Refused(NO_MODEL.format(what="implement"))
        if self.policy.mode is Mode.ASK and caller.ask is None:
            raise Refused(
                "the plan has to be approved by a person, and this client cannot ask one; the server's user can start "
                "it with --permission accept-edits or full"
            )
        assert self.policy.mode in MODES, "read-only was refused above"
        home = asyncio.get_running_loop()
        async with self._heavy:
            with self.allowance.part(self.choice) as part:
                making = self._making_room(caller)
                report = await aside(lambda: self._implement(root, task, part, making, home))
                part.spent(report.usage)
            return report

    async def _implement(
        self, root: Path, task: str, part: Part, caller: Caller, home: asyncio.AbstractEventLoop
    ) -> Report:
        try:
            run = begin(root, task, self.policy.mode.value, part.choice)
        except Refusal as error:
            raise Refused(error.message) from error
        part.begins()
        mode = self.policy.mode
        person = Person(mode, caller.ask, home) if caller.ask is not None and mode is not Mode.FULL else None
        run.listeners.append(_Steps(caller, home))
        try:
            return await work(run, None, person)
        except Refusal as error:
            raise Refused(error.message) from error
        except asyncio.CancelledError:
            run.event("interrupted", run=run.id)
            raise
        finally:
            run.close()

    async def ask(self, path: str, question: str, caller: Caller = NOBODY) -> Answer:
        """A model's answer to a question about the repository, which it only reads."""
        root = self.roots.resolve(path)
        if not question.strip():
            raise Refused("say in `question` what you want to know")
        if self._settings() is None:
            raise Refused(NO_MODEL.format(what="ask"))
        home = asyncio.get_running_loop()
        async with self._heavy:
            with self.allowance.part(self.choice) as part:
                return await aside(lambda: self._ask(root, question, part, caller, home))

    async def _ask(
        self, root: Path, question: str, part: Part, caller: Caller, home: asyncio.AbstractEventLoop
    ) -> Answer:
        from ml_engineer.agent.session import open_session
        from ml_engineer.agent.toolbox import nobody

        choice = part.choice
        try:
            run = Run.create({"mode": "chat", "target": str(root), "ask_peers": not choice.offline, **choice.meta()})
        except OSError as error:
            raise Refused(f"the state directory of this server cannot be used: {error}") from error
        calls = _Calls(caller, home)
        try:
            async with open_session(
                run,
                settings=self._settings(),
                mode=Mode.READ_ONLY,
                ask=nobody,
                notify=calls,
                caps=choice.caps(),
            ) as session:
                session.permissions = replace(session.permissions, rules=(_NO_COMMANDS,))
                part.begins()
                try:
                    ending = await session.say(question)
                finally:
                    usage = session.budget.usage()
                    part.spent(usage)
        finally:
            run.close()
        return Answer(run_id=run.id, text=ending.text, ended=ending.why.value, cost=spent(usage))

    # --- measuring ------------------------------------------------------------------------------------------------

    async def measure(
        self, path: str, tool: Tool[Any], options: dict[str, Any], caller: Caller = NOBODY, *, network: bool = False
    ) -> Measured:
        """Run a measuring tool in the sandbox, as far as the permissions let its command run."""
        self.policy.require("measure")
        root = self.roots.resolve(path)
        home = asyncio.get_running_loop()
        async with self._heavy:
            caller.progress(0, 1, f"measuring: {options.get('label', '')}")
            return await aside(lambda: self._measure(root, tool, options, self._making_room(caller), home, network))

    async def _measure(
        self,
        root: Path,
        tool: Tool[Any],
        options: dict[str, Any],
        caller: Caller,
        home: asyncio.AbstractEventLoop,
        network: bool,
    ) -> Measured:
        from ml_engineer.agent.calls import Call
        from ml_engineer.agent.measuring import MeasuringGate
        from ml_engineer.agent.toolbox import PermissionGate, nobody
        from ml_engineer.interfaces.measure import measure_in, open_sandbox
        from ml_engineer.tools.permissions import Decision, Permissions
        from ml_engineer.tools.sandbox import Level

        mode = self.policy.mode
        person = Person(mode, caller.ask, home) if caller.ask is not None and mode is not Mode.FULL else None
        try:
            with open_sandbox(root, writable=not tool.read_only) as sandbox:
                if sandbox.level is Level.OFF:
                    raise Refused(f"nothing confines commands on this machine. {sandbox.promise.remedy}")
                permissions = Permissions(mode, root, level=sandbox.level)
                gate = MeasuringGate(PermissionGate(permissions, person.answer if person else nobody))
                wanted = Call("measure", tool.name, options, "measure")
                refusal = await gate.refuses(wanted)
                if refusal is None and network and mode is not Mode.FULL:
                    reaching = Decision("ask", "this lets it reach the network")
                    refusal = await (person.answer(wanted, reaching) if person else nobody(wanted, reaching))
                if refusal is not None:
                    raise Refused(refusal)
                result, folder = await measure_in(sandbox, tool, options, root, network=network)
        except Refusal as error:
            raise Refused(error.message) from error
        if folder is None:
            raise Refused(result.text)
        return Measured(text=result.text, figures=Figures(**result.data, folder=str(folder)))


def _failed(path: str, error: JobError) -> str:
    from ml_engineer.interfaces.pool import JobFault

    match error.kind:
        case JobFault.REFUSED:
            return str(error)
        case JobFault.CRASHED:
            return f"the review of {path} crashed: {error}; please report this as a fault of ml-engineer"
        case JobFault.MEMORY | JobFault.TIMEOUT:
            return f"the review of {path} was stopped: {error}; review a part of it, or fewer steps"


def _fields(report: Report) -> dict[str, Claim]:
    """The report's fields by name, the cells of its table too."""
    sections = report.sections
    found = {name: claim for section in SECTION_FIELDS for name, claim in getattr(sections, section).items()}
    for row in sections.training_pipeline:
        for column, claim in zip(PIPELINE_COLUMNS, (row.tool, row.automation, row.monitoring), strict=True):
            found[pipeline_claim_name(row.stage, column)] = claim
    return found


@dataclass(frozen=True)
class Person:
    """The human behind a client, asked from the thread of the work. In mode `ask` plans are approved too."""

    mode: Mode
    ask: Callable[[str], Awaitable[bool]]
    home: asyncio.AbstractEventLoop

    async def approves(self, plan: Plan) -> bool:
        if self.mode is not Mode.ASK:
            return True
        return await ask_at(self.home, self.ask, f"{plan.text()}\n\nCarry out this plan?")

    async def allows(self, call: Call, decision: Decision) -> bool:
        what = call.input.get("command") or call.input.get("file_path") or call.name
        return await ask_at(self.home, self.ask, f"{call.name}: {what}\n{decision.reason}\n\nAllow it?")

    async def answer(self, call: Call, decision: Decision) -> str | None:
        """`agent.toolbox.Ask`: None is a yes."""
        return None if await self.allows(call, decision) else f"{call.name} was refused: the user said no"


@dataclass
class _Steps:
    """Listener of an implementation's run: each node of its graph, and each call in between."""

    caller: Caller
    home: asyncio.AbstractEventLoop
    ended: int = 0

    def __call__(self, event: Event) -> None:
        if event["type"] == "node":
            self.ended += 1
            self._tell(str(event["node"]).replace("_", " "))
        elif event["type"] == "tool_start":
            self._tell(f"{event['agent']}: {event['name']}")

    def _tell(self, text: str) -> None:
        self.home.call_soon_threadsafe(self.caller.progress, self.ended, NODES + 4, text)


@dataclass
class _Calls:
    """Listener of a conversation: each call that the model makes."""

    caller: Caller
    home: asyncio.AbstractEventLoop
    made: int = 0

    def __call__(self, kind: str, /, **data: Any) -> None:
        if kind == "tool_start":
            self.made += 1
            self.home.call_soon_threadsafe(self.caller.progress, self.made, 0, str(data["name"]))
