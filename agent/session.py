"""A conversation with a developer about one repository, kept in a run of mode "chat".

    async with open_session(run, settings=…, mode=Mode.ASK, ask=…, notify=…, caps=Caps()) as session:
        ending = await session.say("why is the recall so low?")      one turn, to its Ending
        session.undo(); await session.compact(); session.set_mode(…); session.set_model(…)

The agent works on the repository itself, with every change in a checkpoint. A cancelled `say` stops the turn and keeps
what was done; the next one goes on. Opening a run again, whatever ended it, brings back the conversation, the plan, the
permissions that were granted and what can be undone. Without a model everything but `say` works.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_engineer.agent import history
from ml_engineer.agent.budget import Budget, Caps
from ml_engineer.agent.calls import Call, Gate
from ml_engineer.agent.chat_tools import ChatGate, ChatTools
from ml_engineer.agent.client import Client, ConfigError, Settings, find_settings, import_sdk, open_client
from ml_engineer.agent.compaction import Carried, compact, full_text
from ml_engineer.agent.delegating import Delegating
from ml_engineer.agent.ending import Ending, Why
from ml_engineer.agent.grants import kinds
from ml_engineer.agent.handoffs import Peers, lines_of, open_peers
from ml_engineer.agent.history import Undone
from ml_engineer.agent.kept_survey import KeptSurvey
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.listener import Listener, logged, silent
from ml_engineer.agent.local_peer import LocalPeer
from ml_engineer.agent.measuring import MeasuringGate
from ml_engineer.agent.mentions import expand, shorten
from ml_engineer.agent.profiles import ANTHROPIC
from ml_engineer.agent.prompts import quoted, render
from ml_engineer.agent.replay import Said, replay
from ml_engineer.agent.runs import Run, records_folder
from ml_engineer.agent.session_log import NAME, Kept, PlanItem, SessionLog
from ml_engineer.agent.steps import ALL_TOOLS, profile
from ml_engineer.agent.survey import Survey, SurveyError
from ml_engineer.agent.toolbox import Ask, PermissionGate, RepositoryTools, nobody
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Block, Message, Transcript
from ml_engineer.assessment.secrets import Secrets
from ml_engineer.delegation.settings import DelegationError
from ml_engineer.delegation.transports.base import Ask as AskPeer
from ml_engineer.delegation.transports.base import Written
from ml_engineer.report.schema import STEP_NAMES, Handoff
from ml_engineer.report.text import one_line
from ml_engineer.tools import rules
from ml_engineer.tools.change import Written as Changed
from ml_engineer.tools.change import change_file
from ml_engineer.tools.context import Context, open_context
from ml_engineer.tools.launch import Launcher, LaunchError, PlainLauncher
from ml_engineer.tools.ledger import Ledger as SeenFiles
from ml_engineer.tools.permissions import Decision, Mode, Permissions
from ml_engineer.tools.sandbox import Level, Sandbox, choose
from ml_engineer.tools.truncate import head_and_tail

if TYPE_CHECKING:
    from ml_engineer.assessment.record import Assessment

SURVEY_PATIENCE = 5.0  # seconds that the first turn waits for the survey; later it comes with the next one
WINDOW = 200_000  # tokens of the models that the `anthropic` profile is for
FILLED = 0.8  # share of the window from which the conversation is compacted
NO_MODEL = (
    "There is no model to talk to: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL and ML_ENGINEER_MODEL for a server of "
    "your own. The commands that need none work (/help lists them; /review gives a full report)."
)


class SessionError(Exception):
    """What was asked of the session cannot be done now. The message says why, and what to do."""


@dataclass
class Session:
    """See the module; made by `open_session`. `sandbox` is None where commands cannot be confined at all."""

    run: Run
    root: Path
    folder: Path
    settings: Settings | None
    context: Context
    permissions: Permissions
    sandbox: Sandbox | None
    log: SessionLog
    budget: Budget
    ask: Ask
    window: int | None
    survey: KeptSurvey
    listener: Listener
    busy: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.folder / "ledger.jsonl")
        self._agent = self.budget.child("ml-engineer")
        self._client: Client | None = None
        self._loop: ToolLoop | None = None
        self._peers: Peers | None = None
        self._told = False  # whether what is being said has the repository's profile
        self._partial: list[str] = []  # of the answer that is being written
        self._logged = logged(self.run.event)
        for number in range(1, self.log.talk):
            earlier = Transcript(self._path_of(number))
            self._count(earlier)
            earlier.close()
        self._transcript = Transcript(self._path_of(self.log.talk))
        self._count(self._transcript)

    def _path_of(self, talk: int) -> Path:
        return self.folder / "agents" / f"chat-{talk}.jsonl"

    def _count(self, transcript: Transcript) -> None:
        for turn in transcript.turns:
            self._agent.record(turn["model"], turn["usage"])

    @property
    def messages(self) -> list[Message]:
        """The conversation since the last compaction, as the model has it."""
        return self._transcript.messages

    @property
    def plan(self) -> list[PlanItem]:
        return self.log.items

    @property
    def mode(self) -> Mode:
        return self.permissions.mode

    @property
    def interrupted(self) -> bool:
        """Whether the last turn has no whole answer, because it was stopped or the process was killed."""
        return bool(self.messages) and self._transcript.end is None

    @property
    def tokens(self) -> int:
        """How long the conversation is, in tokens, as the server counted at the last answer."""
        from ml_engineer.agent.prices import Tokens

        return Tokens.of(self._transcript.turns[-1]["usage"]).total if self._transcript.turns else 0

    def replay(self) -> Iterator[Said]:
        """All that was said, for whoever shows the conversation again."""
        return replay([self._path_of(number) for number in range(1, self.log.talk + 1)], self.log)

    def notify(self, kind: str, /, **data: Any) -> None:
        if kind == "text":
            self._partial.append(data["text"])
        elif kind in ("turn", "retry"):
            self._partial.clear()
        self._logged(kind, **data)
        self.listener(kind, **data)

    # --- talking --------------------------------------------------------------------------------------------------

    async def say(self, words: str) -> Ending:
        """One turn of the user. `@path` in the words brings the file along.

        What a model or a server does is in the ending. Cancelling stops the turn: what was done stays, what was being
        run is closed, and the next turn tells the model. Raises SessionError while another turn is under way.
        """
        self._require_idle()
        self.busy = True
        try:
            if self.settings is None:
                return self._ended(Why.FAILED, NO_MODEL, "no model")
            return await self._turn(shorten(words, self.context))
        except asyncio.CancelledError:
            self._note_interruption()
            raise
        finally:
            self.busy, self.context.step = False, ""

    async def _turn(self, words: str) -> Ending:
        turn = self.log.begin(words)
        self.context.step = turn.step
        try:
            loop = await self._open_loop()
        except ConfigError as error:
            return self._ended(Why.FAILED, str(error), "config")
        notes = len(self.log.notes)
        blocks = [*await self._opening(), *_texts(self.log.notes), *await self._expanded(words)]
        try:
            ending = await loop.ask(blocks, turn=turn.number, **self._follows())
        finally:  # `ask` begins with writing them down, so the model has them whatever came afterwards
            self.log.tell(notes=notes, profile=self._told)
        answered = 1  # what has to be there for a compaction to gain anything; right after one, more than that
        while _is_full(ending) and len(self._transcript.turns) >= answered:
            answered = 2
            await self._compact()
            loop = await self._open_loop()
            go_on = f"Go on with what you were doing. The last request stands: {words}"
            ending = await loop.ask([*await self._opening(), *_texts([go_on])], **self._follows())
            self.log.tell(notes=0, profile=self._told)
        return ending

    async def _open_loop(self) -> ToolLoop:
        """The loop over the current transcript. Raises ConfigError where the model's settings cannot be used."""
        assert self.settings is not None, "asked for only with a model"
        await self._open_client()
        assert self._client is not None, "just opened"
        if self._loop is None:
            delegating = await self._delegating()
            asks = bool(delegating and delegating.definitions())
            self._loop = ToolLoop(
                self._client,
                self._transcript,
                ChatTools(RepositoryTools(self.context, ALL_TOOLS), self._take_plan, delegating),
                system=[render("chat.md.j2", names=STEP_NAMES, peers=asks)],
                budget=self._agent,
                ledger=self._ledger,
                gate=self._gate(),
                notify=self.notify,
                room=None if self.window is None else int(self.window * FILLED),
                counted=True,
            )
        return self._loop

    async def _open_client(self) -> None:
        """Raises ConfigError."""
        if self._client is None and self.settings is not None:
            await asyncio.to_thread(import_sdk)  # it takes long, and the terminal has to stay awake
            self._client = open_client(self.settings)

    def _gate(self) -> Gate:
        return ChatGate(MeasuringGate(_Gate(self)))

    async def _opening(self) -> list[Block]:
        """What this transcript has to have before the user's words: what was carried over, and the profile."""
        texts = [self.log.opening] if self.log.opening and not self.messages else []
        known = None if self.log.told else await self._profile()
        self._told = known is not None
        return _texts([*texts, *([known] if known is not None else [])])

    def _follows(self) -> dict[str, Any]:
        """Beside the first message of a transcript that goes on from another."""
        return {"follows": self._path_of(self.log.talk - 1).name} if self.log.talk > 1 and not self.messages else {}

    async def _expanded(self, words: str) -> list[Block]:
        blocks, attached = await expand(words, self.context, self.permissions)
        for one in attached:
            self.notify("attached", path=one.path, problem=one.problem)
        return blocks

    def _take_plan(self, items: list[PlanItem]) -> None:
        self.log.plan(items)
        self.notify("plan", items=items)

    def _ended(self, why: Why, text: str, kind: str) -> Ending:
        self.notify("ending", agent=self._transcript.name, why=why.value, text=text)
        return Ending(why, text, {"kind": kind})

    def _note_interruption(self) -> None:
        said = "".join(self._partial).strip()
        self._partial.clear()
        so_far = f" So far your answer read: {said}" if said else ""
        self.log.note(f"[The user stopped you in the turn before.{so_far}]")

    def _require_idle(self) -> None:
        if self.busy:
            raise SessionError("a turn is under way; stop it, or wait for its end")

    # --- the repository -------------------------------------------------------------------------------------------

    async def assessment(self) -> Assessment:
        """The survey of the repository, made once and kept in the run. Raises SurveyError."""
        return await self.survey()

    async def _profile(self) -> str | None:
        """The repository's profile, if it is there by now; only the first turn waits for it, and not for long."""
        first = sum(1 for _ in self.log.requests()) <= 1
        try:
            found = await self.survey.within(SURVEY_PATIENCE if first else 0)
        except SurveyError as error:
            self.notify("problem", text=f"{error}; the model works without the engine's findings")
            return None
        # A small context must have room for the talk itself: a quarter of it, at four characters a token.
        room = self.window or WINDOW
        return None if found is None else head_and_tail(profile(found), max_chars=room).text

    def undo(self, *, force: bool = False) -> Undone | None:
        """Take back the changes of the last turn that still stands; None where there is nothing left.

        What the user has changed since is left alone, and named, unless `force`.
        """
        self._require_idle()
        undone = history.undo(self.context.checkpoints, self.log, force=force)
        if undone is not None and undone.restored.paths:
            self.log.note(undone.note())
        return undone

    def diff(self, path: str | None = None) -> str:
        """What is different from before the conversation, as a unified diff. Raises ToolError for a path outside."""
        return history.diff(self.context.checkpoints, self.context.workspace, path)

    async def change(self, title: str, path: str, compute: Callable[[bytes | None], bytes]) -> Changed:
        """A change that the user makes through us: by the same permission and checkpoint as the agent's.

        Raises SessionError where it is refused, ToolError where it cannot be made.
        """
        self._require_idle()
        new = compute(self.context.workspace.read(path) if (self.root / path).exists() else None)
        call = Call("user", "Write", {"file_path": path, "content": new.decode("utf-8", "replace")}, "user")
        refusal = await _Gate(self).refuses(call)
        if refusal is not None:
            raise SessionError(refusal)
        aside = replace(self.context, ledger=SeenFiles(), step=self.log.begin("", act=title).step)
        with contextlib.suppress(FileNotFoundError):
            raw = (self.root / path).read_bytes()
            aside.ledger.shown(path, raw, 1, 1, 1)
        written = change_file(aside, "Write", path, compute, whole=True)
        self.log.note(f"[The user has changed {one_line(written.path)}: {one_line(title)}]")
        return written

    # --- what the user decides ------------------------------------------------------------------------------------

    def kinds(self, call: Call) -> list[str]:
        """The rules that "allow this kind for the run" would add for a call; empty where that cannot be said."""
        return [rule.text for rule in kinds(call, self.permissions)]

    def grant(self, call: Call) -> None:
        """Allow this kind for the rest of the run, also after a resume."""
        for rule in kinds(call, self.permissions):
            self.log.grant(rule.text)
            self.permissions = replace(self.permissions, rules=(*self.permissions.rules, rule))

    def set_mode(self, mode: Mode) -> None:
        self.log.set_mode(mode.value)
        self.permissions = replace(self.permissions, mode=mode)

    def set_model(self, name: str) -> None:
        """Go on with another model of the same server. Raises ConfigError, or SessionError without any server."""
        self._require_idle()
        found = find_settings(name) if self.settings is None else replace(self.settings, model=name)
        if found is None:
            raise SessionError(NO_MODEL)
        self.settings = found
        self.log.set_model(name)
        if self._client is not None:
            self._client = replace(self._client, settings=found)
            if self._loop is not None:
                self._loop.use(self._client)

    def keep(self, title: str, text: str) -> None:
        """Something that came about beside the talk (a review's result, a peer's answer): the model is told with the
        next turn, and it survives every compaction word for word."""
        self.log.keep(Kept(title, text))
        self.log.note(quoted(title, text))

    # --- peers ----------------------------------------------------------------------------------------------------

    async def peers(self) -> Peers:
        """Who can be asked in this conversation, in this process where there is a model. Raises DelegationError, or
        ConfigError where the model's settings cannot be used."""
        await self._open_client()
        if self._peers is None:
            self._peers = open_peers(
                self.run,
                self.root,
                self.root.name,
                ask=bool(self.run.meta.get("ask_peers", True)),
                local=self._ask_locally if self._client is not None else None,
                budget=self.budget,
                model=self.settings.model if self.settings is not None else None,
            )
            self._peers.desk.listen = self._hear_of_peers
            self._peers.desk.hide = self._without_secrets
        return self._peers

    def _without_secrets(self, text: str) -> str:
        """What is said to a peer, without the secrets that the survey has found in the repository by now."""
        known = self.survey.made
        return Secrets.of(known.findings, self.root).hide(text) if known is not None else text

    def _hear_of_peers(self, kind: str, /, **data: Any) -> None:
        self.run.event(kind, **data)
        self.listener(kind, **data)

    async def _ask_locally(self, ask: AskPeer) -> Written:
        """Made for each question: the model may have been changed meanwhile."""
        assert self._client is not None, "peers are local only with a model"

        def hear(kind: str, /, **data: Any) -> None:
            self._logged(kind, **data)
            self.listener("peer", peer=ask.peer.name, handoff=ask.handoff.id, event=kind, data=data)

        return await LocalPeer(self._client, self.folder, self.context, self._gate(), self._ledger, hear)(ask)

    async def _delegating(self) -> Delegating | None:
        try:
            peers = await self.peers()
        except DelegationError as error:
            self.notify("problem", text=f"no peer can be asked: {error}")
            return None
        return Delegating(peers.desk, peers.chain)

    async def delegate(self, handoff: Handoff) -> Handoff:
        """Ask a peer what the user wants to know; the model is told of the answer. Raises as `peers` does."""
        peers = await self.peers()
        done = await peers.desk.hand(handoff, peers.chain)
        if done.reply is not None:
            text = f"{handoff.question}\n\n{done.reply.answer or done.reply.error or ''}"
            self.keep(f"The user asked {done.peer} ({done.id}, {done.state.value})", text)
        return done

    def handoffs(self) -> list[str]:
        """Every hand-off of the conversation in a line: id, peer, state, question."""
        return lines_of(self.folder)

    # --- compaction -----------------------------------------------------------------------------------------------

    async def compact(self) -> str:
        """Go on in a new transcript that begins with what matters of this one; gives that beginning.

        Raises SessionError where there is nothing to compact.
        """
        self._require_idle()
        if not self.messages:
            raise SessionError("there is nothing to compact yet")
        self.busy = True
        try:
            return await self._compact()
        finally:
            self.busy = False

    async def _compact(self) -> str:
        try:
            await self._open_client()
        except ConfigError as error:
            self.notify("problem", text=f"the conversation is compacted without a summary: {error}")
        full = self.context.spills.save("conversation", full_text(self.messages))
        room = (self.window or WINDOW) // 2  # characters: an eighth of the context
        carried = Carried(self._limits(), [*self.handoffs(), *self._running()], room)
        budget = self.budget.child("compaction")
        text = await compact(self._client, self._transcript, self.log, carried, full, budget)
        self.log.start_talk(text)
        self._transcript.close()
        self._transcript, self._loop = Transcript(self._path_of(self.log.talk)), None
        self.notify("compacted", text=text)
        return text

    def _running(self) -> list[str]:
        """Commands in the background, by the ids that BashOutput and KillShell take."""
        shells = [one for one in self.context.shells.in_background() if one.exit_code is None]
        return [f"{one.id} runs in the background: {one_line(one.command)}" for one in shells]

    def _limits(self) -> list[str]:
        caps = self.budget.caps
        lines = [f"permission mode: {self.mode.value}", *(f"allowed by the user: {rule}" for rule in self.log.grants)]
        given = {"cost in US dollars": caps.cost, "tokens": caps.tokens, "turns": caps.turns, "seconds": caps.seconds}
        return [*lines, *(f"at most {value} {what}" for what, value in given.items() if value is not None)]

    # --- the end --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        await self.survey.close()
        if self._client is not None:
            await self._client.close()
        await self.log.synced()
        for one in (self._transcript, self._ledger, self.log):
            one.close()


@dataclass(frozen=True)
class _Gate:
    """The session's permissions as they are at the moment of the call; what the user refuses is remembered."""

    session: Session

    async def refuses(self, call: Call) -> str | None:
        return await PermissionGate(self.session.permissions, self._ask).refuses(call)

    async def _ask(self, call: Call, decision: Decision) -> str | None:
        refusal = await self.session.ask(call, decision)
        if refusal is not None:
            what = one_line(str(call.input.get("command") or call.input.get("file_path") or ""))
            self.session.log.deny(f"not allowed: {call.name} {what[:200]}: {one_line(refusal)}")
        return refusal


@contextlib.asynccontextmanager
async def open_session(
    run: Run,
    *,
    settings: Settings | None,
    mode: Mode | None = None,
    ask: Ask = nobody,
    notify: Listener = silent,
    caps: Caps | None = None,
    launcher: Sandbox | None = None,
    survey: Survey | None = None,
    window: int | None = None,
) -> AsyncIterator[Session]:
    """The conversation of `run`, from its beginning or from where it was left.

    `mode` None: the one that was set last, `ask` at first. `launcher`: a sandbox that is proved already. `survey`: one
    that was started already, such as before there were threads. `window`: tokens of the model's context, where known.
    Raises LogError or JournalError when what was kept is damaged, OSError when the repository cannot be opened.
    """
    root = Path(run.meta["target"])
    found = survey or (Survey(root) if settings is None else _begun(run, root))
    try:
        with records_folder(run) as folder:
            log = SessionLog(folder / NAME)
            sandbox = launcher or await asyncio.to_thread(_choose, root, folder / "sandbox")
            permissions = Permissions(
                mode or Mode(log.mode or Mode.ASK),
                root.resolve(),
                tuple(rules.load(text, "allow") for text in log.grants),
                level=sandbox.level if sandbox else Level.OFF,
                readable=(folder / "outputs",),
            )
            settings = replace(settings, model=log.model) if settings and log.model else settings
            if settings is not None:
                window = window or settings.window or (WINDOW if settings.profile is ANTHROPIC else None)
            confined: Launcher = sandbox or PlainLauncher()
            async with open_context(root, folder, launcher=confined) as context:
                session = Session(
                    run, root, folder, settings, context, permissions, sandbox, log, Budget(caps), ask, window,
                    KeptSurvey(run, found), notify,
                )  # fmt: skip
                try:
                    if settings is not None:
                        session.survey.start()
                    yield session
                finally:
                    await session.close()
    finally:
        found.cancel()


def _begun(run: Run, root: Path) -> Survey:
    return Survey.start(root) if run.read("survey.json") is None else Survey(root)


def _choose(root: Path, scratch: Path) -> Sandbox | None:
    try:
        return choose(root, scratch)
    except LaunchError:
        return None  # level off: every command is asked for, and the interfaces show it


def _texts(texts: Sequence[str]) -> list[Block]:
    return [{"type": "text", "text": text} for text in texts]


def _is_full(ending: Ending) -> bool:
    return ending.why is Why.CONTEXT_FULL or (ending.why is Why.FAILED and ending.data.get("kind") == "too long")
