"""`ml-engineer implement [PATH] TASK…`: changes on a branch of the run's own, each step proved by its checks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from ml_engineer.agent.runs import Run
from ml_engineer.assessment.target import TargetError, open_target
from ml_engineer.interfaces.model import ModelChoice, model_options, settings_refused
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.progress import Progress
from ml_engineer.interfaces.stream import StreamJson
from ml_engineer.interfaces.termination import ends_politely
from ml_engineer.report.visible import visible

if TYPE_CHECKING:
    from ml_engineer.agent.calls import Call
    from ml_engineer.agent.client import Client, Settings
    from ml_engineer.agent.implement import Job
    from ml_engineer.agent.plan import Plan
    from ml_engineer.assessment.record import Assessment
    from ml_engineer.report.schema import Report
    from ml_engineer.tools.permissions import Decision
    from ml_engineer.tools.sandbox import Sandbox
    from ml_engineer.tools.worktree import Worktree

MODES = ("ask", "accept-edits", "full")
_UNATTENDED = frozenset({"accept-edits", "full"})
_CONFINED = frozenset({"bwrap", "landlock"})
_NO_MODEL = (
    "implement needs a model: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL and --model for a server of your own. "
    "`ml-engineer doctor` says what is found; `ml-engineer review` works without one."
)


class _Streamed(click.Command):
    """A command whose stream has a result also where the command line cannot be understood."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        streamed = "--stream-json" in args  # click takes words away while it reads them
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _end(StreamJson("", "") if streamed else None, error)
            raise


@click.command(cls=_Streamed)
@click.argument("words", nargs=-1, required=True, metavar="[PATH] TASK…")
@click.option(
    "--permission",
    type=click.Choice(MODES),
    default="ask",
    show_default=True,
    help="What is done without asking; where nobody can be asked it must be accept-edits or full.",
)
@click.option("--stream-json", is_flag=True, help="Lines of JSON on stdout, as `claude -p` gives them; asks nothing.")
@model_options
def implement(
    words: tuple[str, ...],
    permission: str,
    stream_json: bool,
    model: str | None,
    max_cost: str | None,
    max_turns: int | None,
) -> None:
    """Carry out TASK in the repository in PATH (default: this folder).

    The work is done in a copy on a branch of its own; the repository's files, index and branch stay as they are. A plan
    is shown first. Each step ends with a commit when its checks pass, and is taken back when they do not.
    """
    choice = ModelChoice(False, model, max_cost, max_turns)
    stream = StreamJson("", model or "") if stream_json else None
    with ends_politely():
        try:
            path, task = _split(words)
            report, run = _start(path, task, permission, choice, stream)
        except (Exception, KeyboardInterrupt) as error:
            _end(stream, error)
            raise
    _finish(report, run, stream)


def _split(words: tuple[str, ...]) -> tuple[Path, str]:
    """PATH, if the first of several words is a folder, and the task."""
    if len(words) > 1 and Path(words[0]).is_dir():
        return Path(words[0]), " ".join(words[1:])
    if len(words) == 1 and Path(words[0]).is_dir():
        raise Refusal(f'{words[0]} is a folder; say what is to be done: ml-engineer implement {words[0]} "…"')
    return Path(), " ".join(words)


def _start(
    path: Path, task: str, permission: str, choice: ModelChoice, stream: StreamJson | None
) -> tuple[Report, Run]:
    if choice.settings() is None:
        raise Refusal(_NO_MODEL)
    attended = stream is None and sys.stdin.isatty() and sys.stderr.isatty()
    if not attended and permission not in _UNATTENDED:
        raise Refusal(
            "nobody can be asked here, so the plan could not be approved: give --permission accept-edits or full"
        )
    try:
        root = open_target(path)
    except TargetError as error:
        raise Refusal(str(error)) from error
    run = begin(root, task, permission, choice)
    return conduct(run, stream, attended=attended), run


def begin(root: Path, task: str, permission: str, choice: ModelChoice) -> Run:
    """A run for `task`, which `work` carries out. Refusal where there is no model, no place to keep it, or a setting
    that cannot be used: then nothing has been made yet."""
    settings = choice.settings()
    if settings is None:
        raise Refusal(_NO_MODEL)
    _check(settings)
    meta = {"mode": "implement", "target": str(root), "task": task, "permission": permission}
    kept = replace(choice, model=settings.model)
    try:
        return Run.create(meta | {"steps": list(range(1, 11)), "baseline": None, "known": []} | kept.meta())
    except OSError as error:
        raise Refusal(
            f"an implementation has to be kept on disk, and the state directory cannot be used: {error}"
        ) from error


def _check(settings: Settings) -> None:
    """Refusal where the client or the peers could not be opened with these settings."""
    from ml_engineer.agent.client import ConfigError, open_client
    from ml_engineer.agent.handoffs import check_settings
    from ml_engineer.delegation.settings import DelegationError

    try:
        check_settings()
        open_client(settings)  # opens no connection before the first request
    except (ConfigError, DelegationError) as error:
        raise Refusal(str(error)) from error


def resume(run: Run, *, attended: bool) -> Report:
    """Go on with an implementation that was interrupted."""
    if not attended and run.meta["permission"] not in _UNATTENDED:
        raise Refusal(f"run {run.id} asks before it acts, and nobody can be asked here: resume it at a terminal")
    with ends_politely():
        report = conduct(run, None, attended=attended)
    _say_where(report, run)
    return report


def conduct(run: Run, stream: StreamJson | None, *, attended: bool) -> Report:
    """Do the work of `run`, from its beginning or from where it stopped, and let go of it."""
    progress = Progress()
    run.listeners.append(progress.event)
    try:
        return asyncio.run(work(run, stream, Person(progress) if attended else None))
    except KeyboardInterrupt:
        run.event("interrupted", run=run.id)
        raise
    finally:
        progress.stop()
        run.close()


class Approver(Protocol):
    """Somebody who can be asked."""

    async def approves(self, plan: Plan) -> bool:
        """Whether the plan may be carried out."""
        ...

    async def allows(self, call: Call, decision: Decision) -> bool:
        """Whether this one call may be made, which the permissions leave open."""
        ...


async def work(run: Run, stream: StreamJson | None, person: Approver | None) -> Report:
    """Do the work of `run`, from its beginning or from where it stopped. Refusal says what keeps it from going on."""
    from ml_engineer.tools.worktree import WorktreeError

    settings = ModelChoice.of(run.meta).settings()
    if settings is None:
        raise Refusal(f"run {run.id} was begun with a model, and now there is no key for one. {_NO_MODEL}")
    try:
        return await _work(run, settings, stream, person)
    except WorktreeError as error:
        raise Refusal(str(error)) from error


async def _work(run: Run, settings: Settings, stream: StreamJson | None, person: Approver | None) -> Report:
    from ml_engineer.agent.client import ConfigError, open_client
    from ml_engineer.agent.implement import Stopped, implement
    from ml_engineer.tools.worktree import WORKTREE, open_worktree

    try:
        client = open_client(settings)
    except ConfigError as error:
        raise Refusal(str(error)) from error
    assert run.folder is not None, "an implementation is kept on disk"
    known = run.folder / WORKTREE
    began = known.exists()
    worktree = open_worktree(Path(run.meta["target"]), run.folder, run.id)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        try:
            job = await stack.enter_async_context(_open_job(client, run, worktree, stream, person))
        except Refusal:
            if not began:  # the user's repository is left without a branch that nothing will come of
                worktree.discard()
                known.unlink()
            raise
        try:
            return await implement(job)
        except Stopped as stop:
            raise _stopped(stop, run, worktree, stream) from stop


def _stopped(stop: Any, run: Run, worktree: Worktree, stream: StreamJson | None) -> Refusal:
    """The message for a run that cannot go on; what it must leave behind is left, the rest is removed."""
    if stop.final:
        worktree.discard()
        message = str(stop)
    else:
        message = f"{stop}. Nothing is lost: ml-engineer runs resume {run.id}"
    run.event("stopped", reason=str(stop))
    if stream is not None:
        stream.failure(message, what=stop.what)
    return Refusal(message)


@contextlib.asynccontextmanager
async def _open_job(
    client: Client, run: Run, worktree: Worktree, stream: StreamJson | None, person: Approver | None
) -> AsyncIterator[Job]:
    """Everything that an implementation works with, put together."""
    from ml_engineer.agent.budget import Budget
    from ml_engineer.agent.implement import Job
    from ml_engineer.agent.ledger import Ledger
    from ml_engineer.agent.measuring import MeasuringGate
    from ml_engineer.agent.steps import ALL_TOOLS, Steps
    from ml_engineer.agent.toolbox import PermissionGate
    from ml_engineer.tools.context import open_context
    from ml_engineer.tools.permissions import Mode, Permissions

    assert run.folder is not None, "an implementation is kept on disk"
    folder, target = run.folder, Path(run.meta["target"])
    sandbox = _sandbox(worktree.folder, folder / "sandbox", attended=person is not None)
    run.event("sandbox", banner=sandbox.banner())
    outputs = folder / "outputs"
    mode = Mode(run.meta["permission"])
    permissions = Permissions(mode, worktree.folder.resolve(), level=sandbox.level, readable=(outputs,))
    agreed = Agreed(run, person, confined=sandbox.level in _CONFINED or mode is Mode.FULL)
    gate = MeasuringGate(PermissionGate(permissions, agreed.ask))
    ledger = Ledger(folder / "ledger.jsonl")
    async with open_context(worktree.folder, folder, launcher=sandbox) as context:
        budget = Budget(ModelChoice.of(run.meta).caps(), worked=run.worked())
        notify = _listener(run, stream)
        steps = Steps(
            client, run, worktree.folder, folder, context, gate, budget, ledger, notify, "implement", tuple(ALL_TOOLS)
        )
        steps.recall()
        if stream is not None:
            stream.session, stream.model, stream.spent = run.id, client.settings.model, budget.usage
            stream.init(cwd=str(target), tools=list(ALL_TOOLS), mode=mode.value)
        try:
            with settings_refused(run):
                peers = steps.open_peers(target.name, ask=True)
            yield Job(
                run=run,
                root=target,
                survey=lambda: _assess(worktree, target),
                task=run.meta["task"],
                worktree=worktree,
                steps_agent=steps,
                peers=peers,
                permissions=permissions,
                gate=gate,
                approve=person.approves if person is not None else _approved_beforehand,
            )
        finally:
            ledger.close()


def _sandbox(folder: Path, scratch: Path, *, attended: bool) -> Sandbox:
    from ml_engineer.tools.launch import LaunchError
    from ml_engineer.tools.sandbox import Level, choose

    try:
        sandbox = choose(folder, scratch)
    except LaunchError as error:
        raise Refusal(str(error)) from error
    if sandbox.level is Level.OFF and not attended:
        raise Refusal(f"commands cannot be confined here, and nobody can be asked about each. {sandbox.promise.remedy}")
    return sandbox


async def _assess(worktree: Worktree, target: Path) -> Assessment:
    """The assessment of the working copy, under the name of what it is a copy of."""
    from ml_engineer.agent.survey import Survey

    assessment = await Survey(worktree.folder)()
    named = assessment.repository.model_copy(update={"name": target.name, "path": str(target)})
    return assessment.model_copy(update={"repository": named})


def _listener(run: Run, stream: StreamJson | None) -> Any:
    from ml_engineer.agent.listener import logged

    log = logged(run.event)

    def hear(kind: str, /, **data: Any) -> None:
        if stream is not None:
            stream(kind, **data)
        log(kind, **data)

    return hear


# --- asking -----------------------------------------------------------------------------------------------------------


async def _approved_beforehand(plan: Plan) -> bool:
    """Where nobody can be asked, --permission accept-edits or full is the approval."""
    click.echo(visible(plan.text()), err=True)
    return True


@dataclass(frozen=True)
class Person:
    """Somebody at the terminal."""

    progress: Progress

    async def approves(self, plan: Plan) -> bool:
        self.progress.say(visible(plan.text()))
        return await self._confirm("Carry out this plan?")

    async def allows(self, call: Call, decision: Decision) -> bool:
        what = call.input.get("command") or call.input.get("file_path") or call.name
        self.progress.say(visible(f"{call.name}: {what}\n  {decision.reason}"))
        return await self._confirm("Allow it?")

    @staticmethod
    async def _confirm(question: str) -> bool:
        try:
            return await asyncio.to_thread(click.confirm, question, default=False, err=True)
        except click.Abort:
            raise KeyboardInterrupt from None


@dataclass(frozen=True)
class Agreed:
    """Answers what the permissions leave open: the plan's commands are agreed, a person decides on the rest."""

    run: Run
    person: Approver | None
    confined: bool  # commands cannot leave the working copy, or the user has said that they may

    async def ask(self, call: Call, decision: Decision) -> str | None:
        if self.confined and call.name == "Bash" and call.input.get("command") in self._commands():
            return None
        if self.person is None:
            return f"{call.name} was refused: {decision.reason}; nobody can be asked here"
        allowed = await self.person.allows(call, decision)
        return None if allowed else f"{call.name} was refused: the user said no. Find another way, or finish."

    def _commands(self) -> list[str]:
        from ml_engineer.agent.plan import Plan

        data = self.run.read("plan.json")
        return Plan.model_validate_json(data).commands if data is not None else []


# --- the result -------------------------------------------------------------------------------------------------------


def _end(stream: StreamJson | None, error: BaseException) -> None:
    """The last line of a stream that ends early; nothing where it has been written already."""
    if stream is not None:
        interrupted = isinstance(error, KeyboardInterrupt)
        message = "interrupted" if interrupted else str(getattr(error, "message", error))
        stream.failure(message, reason="interrupted" if interrupted else "error")


def _finish(report: Report, run: Run, stream: StreamJson | None) -> None:
    from ml_engineer.interfaces.render import emit

    if stream is not None:
        stream.success(report)
    else:
        emit(report, "text", None)
    _say_where(report, run)
    if report.coverage.state == "partial":
        sys.exit(2)


def _say_where(report: Report, run: Run) -> None:
    branch = next((note for note in report.run.notes if note.startswith("branch: ")), "branch: none")
    click.echo(f"{branch}. Bring it in: ml-engineer runs apply {run.id}", err=True)
