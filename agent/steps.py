"""A model at the ten steps: what each step is told, and how its work becomes a step record.

    async with open_steps(client, run, …) as steps:
        record = await steps.work(assessment, engine_record, earlier)

Every step is a conversation of its own. It begins with the same bytes for all steps (tools, system prompt, profile of
the repository), then the records of finished steps, then the step's brief with the engine's findings: prompts stay
small and a cache of the prefix hits. A step that fails keeps the engine's record and says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_engineer.agent.budget import Budget, Caps
from ml_engineer.agent.calls import Gate
from ml_engineer.agent.client import Client
from ml_engineer.agent.delegating import Delegating
from ml_engineer.agent.ending import Ending, Why
from ml_engineer.agent.finish import Checks, StepGate, StepTools
from ml_engineer.agent.gate import EvidenceGate
from ml_engineer.agent.handoffs import Peers, hidden, open_peers
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.listener import Listener
from ml_engineer.agent.local_peer import LocalPeer
from ml_engineer.agent.measuring import MEASURING
from ml_engineer.agent.profiles import ANTHROPIC
from ml_engineer.agent.prompts import quoted, render
from ml_engineer.agent.records import Records
from ml_engineer.agent.runs import Run
from ml_engineer.agent.toolbox import PermissionGate, RepositoryTools
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Block, Transcript
from ml_engineer.assessment.record import Assessment
from ml_engineer.assessment.secrets import Secrets
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import (
    PIPELINE_COLUMNS,
    PIPELINE_STAGES,
    SECTION_FIELDS,
    CommandRun,
    Handoff,
    StepRecord,
    StepState,
    pipeline_claim_name,
)
from ml_engineer.report.text import one_line, where
from ml_engineer.tools.context import Context, open_context
from ml_engineer.tools.permissions import Mode, Permissions
from ml_engineer.tools.registry import TOOLS, invoke

ALL_TOOLS = TOOLS | MEASURING
READING = ("LS", "Read", "Grep", "Glob")
STEP_TURNS = 40  # of one step, so that one that goes nowhere leaves something to the others
WARM_SECONDS = 120.0  # to wait for the first of the parallel steps, whose prefix the others find in the cache
_SEEING = frozenset({"Read", "Edit", "MultiEdit", "Write"})
_FINDINGS = 40  # of a step that its brief shows
_KNOWN = 150  # findings of all steps that the profile lists
_PLACES = 3  # of a finding


@dataclass(frozen=True)
class Conversation:
    """A step's conversation at its end: how it ended, what it has spent, and the hand-offs that it made."""

    ending: Ending
    budget: Budget
    asked: list[Handoff]


@dataclass
class Steps:
    """The model at work on one run. `root` is what it reads (and changes), `folder` where its records are kept."""

    client: Client
    run: Run
    root: Path
    folder: Path
    context: Context
    gate: Gate
    budget: Budget
    ledger: Ledger
    notify: Listener
    mode: str = "review"
    tools: tuple[str, ...] = READING
    peers: Peers | None = field(default=None, init=False)
    _warm: dict[int, asyncio.Event] = field(default_factory=dict, init=False)

    @property
    def model(self) -> str:
        return self.client.settings.model

    def open_peers(self, repository: str, *, ask: bool) -> Peers:
        """Who can be asked in this run, by the steps and by the routes. Raises DelegationError."""
        local = LocalPeer(self.client, self.folder, self.context, self.gate, self.ledger, self.notify)
        self.peers = open_peers(
            self.run, self.root, repository, ask=ask, local=local, budget=self.budget, model=self.model
        )
        return self.peers

    def recall(self) -> None:
        """Count what steps that are finished have spent: their conversations are not opened again."""
        for path in sorted((self.folder / "agents").glob("*.jsonl")):
            if self.run.read(f"{path.stem}.json") is not None:
                transcript = Transcript(path)
                child = self.budget.child(path.stem)
                for turn in transcript.turns:
                    child.record(turn["model"], turn["usage"])
                transcript.close()

    async def work(self, assessment: Assessment, engine: StepRecord, earlier: Sequence[StepRecord]) -> StepRecord:
        """The record of one step of a review: the engine's, with what the model has added and the gate has let pass."""
        agent = agent_name(engine.step)
        opening = self.opening(engine, earlier)
        async with self._behind_the_first(len(earlier)) as notify:
            talk = await self.converse(agent, assessment, engine, opening, notify=notify)
        return self.settle(agent, engine, talk)

    @contextlib.asynccontextmanager
    async def _behind_the_first(self, prefix: int) -> AsyncIterator[Listener]:
        """Of the steps that begin with the same records, the first has its first answer before the others ask: then
        the prefix is in the server's cache, and the others do not pay for it."""
        first = prefix not in self._warm
        warm = self._warm.setdefault(prefix, asyncio.Event())

        def hear(kind: str, /, **data: Any) -> None:
            self.notify(kind, **data)
            if kind == "turn":
                warm.set()

        if not first:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(warm.wait(), WARM_SECONDS)
        try:
            yield hear if first else self.notify
        finally:
            warm.set()

    async def converse(
        self,
        agent: str,
        assessment: Assessment,
        engine: StepRecord,
        opening: list[Block],
        checks: Checks | None = None,
        notify: Listener | None = None,
    ) -> Conversation:
        """One step's conversation to its end, or from where an earlier process left it."""
        transcript = Transcript(self.folder / "agents" / f"{agent}.jsonl")
        records = Records(self.folder)
        secrets = Secrets.of(assessment.findings, self.root)

        def gate(changed: frozenset[str], passed: tuple[CommandRun, ...]) -> EvidenceGate:
            checker = EvidenceChecker(self.root, self.folder)
            owned = owned_fields(engine.step)
            return EvidenceGate(engine, owned, agent, self.model, checker, records, secrets, changed, passed)

        repository = RepositoryTools(self.context, {name: ALL_TOOLS[name] for name in self.tools})
        delegating = None
        if self.peers is not None:
            self.peers.desk.hide = secrets.hide
            delegating = Delegating(self.peers.desk, self.peers.chain)
        budget = self.budget.child(agent, Caps(turns=STEP_TURNS))
        loop = ToolLoop(
            self.client,
            transcript,
            StepTools(repository, transcript, records, gate, delegating, checks),
            system=self.system(assessment),
            budget=budget,
            ledger=self.ledger,
            gate=StepGate(self.gate),
            notify=notify or self.notify,
            finisher="finish_step",
        )
        try:
            await self._see_again(transcript)
            ending = await loop.run(opening)
            asked = delegating.made(transcript) if delegating is not None else []
            return Conversation(ending, budget, [hidden(one, secrets) for one in asked])
        finally:
            transcript.close()

    async def _see_again(self, transcript: Transcript) -> None:
        """After a restart: the tools know again which files the model has read or written, so that it may go on
        changing them. Nobody else writes in the workspace."""
        for at, message in enumerate(transcript.messages[1:], 1):
            failed = {one["tool_use_id"] for one in message["content"] if isinstance(one, dict) and one.get("is_error")}
            for call in transcript.calls(at - 1):
                if call.name in _SEEING and call.id not in failed:
                    shown = {key: call.input[key] for key in ("file_path", "offset", "limit") if key in call.input}
                    await invoke("Read", shown, self.context)

    def settle(self, agent: str, engine: StepRecord, talk: Conversation) -> StepRecord:
        """What a conversation means for the step: its record, whom it asked, what it cost."""
        record = self._record(agent, engine, talk.ending)
        return record.model_copy(update={"handoffs": talk.asked, "usage": talk.budget.usage()})

    def _record(self, agent: str, engine: StepRecord, ending: Ending) -> StepRecord:
        if ending.why is Why.FINISHED:
            self.run.write(f"{agent}.gate.json", _json(ending.data["check"]))
            return StepRecord.model_validate(ending.data["record"])
        state = StepState.DEFERRED if ending.why is Why.BUDGET else StepState.FAILED
        reason = (
            f"the model did not finish it ({ending.why.value}): {one_line(ending.text)}; the engine's record is kept"
        )
        return engine.model_copy(update={"state": state, "reason": reason})

    # --- what a step is told --------------------------------------------------------------------------------------

    def system(self, assessment: Assessment) -> list[str]:
        """The same for every step of a run."""
        return [render("system.md.j2", mode=self.mode), profile(assessment)]

    def opening(self, engine: StepRecord, earlier: Sequence[StepRecord], **more: Any) -> list[Block]:
        """The first message: records of finished steps, the same for all parallel steps, then the brief."""
        blocks: list[Block] = []
        if earlier:
            block: Block = {"type": "text", "text": finished(earlier)}
            if self.client.settings.profile is ANTHROPIC:
                block["cache_control"] = {"type": "ephemeral"}
            blocks.append(block)
        return [*blocks, {"type": "text", "text": brief(engine, self.mode, **more)}]


@contextlib.asynccontextmanager
async def open_review(
    client: Client, run: Run, root: Path, folder: Path, *, caps: Caps, notify: Listener
) -> AsyncIterator[Steps]:
    """The model at work on a review: tools that only read, in a workspace that nothing may change."""
    async with open_context(root, folder) as context:
        outputs = (folder / "outputs",)
        permissions = Permissions(Mode.READ_ONLY, root.resolve(), headless=True, readable=outputs)
        ledger = Ledger(folder / "ledger.jsonl")
        budget = Budget(caps, worked=run.worked())
        steps = Steps(client, run, root, folder, context, PermissionGate(permissions), budget, ledger, notify)
        steps.recall()
        try:
            yield steps
        finally:
            ledger.close()


def agent_name(step: int) -> str:
    """Name of a step's agent: of its transcript, its records and its line in the bill."""
    return f"step-{step:02d}"


def owned_fields(step: int) -> tuple[str, ...]:
    """The fields of the report that a step gives values for."""
    fields = [name for _, names in SECTION_FIELDS.values() for name, owner in names.items() if owner == step]
    if step == 4:
        fields += [pipeline_claim_name(stage, column) for stage in PIPELINE_STAGES for column in PIPELINE_COLUMNS]
    return tuple(fields)


def profile(assessment: Assessment) -> str:
    """The repository as the engine knows it: facts, score, and all findings in a line each, so that a step neither
    repeats nor contradicts what belongs to another."""
    facts = "\n".join(f"{fact.name}: {one_line(fact.value)}" for fact in assessment.profile)
    known = [
        f"step {one.step} {one.severity.value} {one.rule}: {one_line(one.title)} ({where(one.evidence[0])})"
        for one in assessment.findings[:_KNOWN]
    ]
    return render(
        "profile.md.j2",
        facts=quoted("the repository's profile", facts),
        name=one_line(assessment.repository.name),
        files=assessment.files_scanned,
        score=assessment.score.ml_test_score,
        findings=quoted("all findings of the engine", "\n".join(known)),
        hidden=max(0, len(assessment.findings) - _KNOWN),
    )


def finished(records: Sequence[StepRecord]) -> str:
    """What finished steps have found, in short."""
    return render("finished.md.j2", records=[_finished(record) for record in records])


def _finished(record: StepRecord) -> dict[str, str]:
    lines = [record.summary]
    lines += [f"{name} ({claim.state.value}): {one_line(claim.text)}" for name, claim in record.claims.items()]
    lines += [f"- {one.severity.value}: {one_line(one.title)}" for one in record.findings[:12]]
    lines += [f"changed: {change.path}" for change in record.changes[:20]]
    name = f"{record.step} {record.name}"
    return {"name": name, "state": record.state.value, "text": quoted(f"record of step {name}", "\n".join(lines))}


def brief(engine: StepRecord, mode: str, **more: Any) -> str:
    """The step's own part: what to do, what the engine found, what the report wants of it."""
    claims = [f"{name}: {claim.state.value}, {one_line(claim.text)}" for name, claim in engine.claims.items()]
    findings = [_finding(number, engine) for number in range(min(len(engine.findings), _FINDINGS))]
    return render(
        f"steps/{engine.step:02d}.md.j2",
        step=engine.step,
        name=engine.name,
        mode=mode,
        findings=quoted("findings of the engine", "\n".join(findings)) if findings else "",
        hidden=max(0, len(engine.findings) - _FINDINGS),
        claims=quoted("values that the engine found", "\n".join(claims)) if claims else "",
        fields=owned_fields(engine.step),
        task=more.get("task"),
        plan=more.get("plan"),
    )


def _finding(number: int, engine: StepRecord) -> str:
    one = engine.findings[number]
    places = [where(evidence) for evidence in one.evidence[:_PLACES]]
    more = f" and {len(one.evidence) - _PLACES} more" if len(one.evidence) > _PLACES else ""
    head = f"F{number + 1} {one.rule} {one.severity.value} ({one.confidence.value} confidence): {one_line(one.title)}"
    return f"{head}\n   at {', '.join(places)}{more}\n   why: {one_line(one.why)}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
