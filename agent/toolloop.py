"""The loop of one agent: ask the model, run the tools it calls, give it the results, until the work is over.

    loop = ToolLoop(client, transcript, tools, system=[…], budget=…, ledger=…)
    ending = await loop.run("the brief")

Everything said is in the transcript before the next thing happens, and every effect is in the ledger before and after
it happens. So a loop that was killed is resumed by running it again with the same transcript and ledger: an answer
whose calls have no results yet is taken up as if it had just come, and calls that were done give what they gave.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ml_engineer.agent.budget import Budget, BudgetSpent
from ml_engineer.agent.calls import Call, Gate, OpenGate, Outcome, Repetition, Tools
from ml_engineer.agent.client import Client
from ml_engineer.agent.ending import Ending, Why
from ml_engineer.agent.failures import ModelError
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.listener import Listener, silent
from ml_engineer.agent.log import encode
from ml_engineer.agent.prices import Tokens
from ml_engineer.agent.stream import Stop, TurnResult
from ml_engineer.agent.toolrun import Runner
from ml_engineer.agent.transcript import Block, Transcript
from ml_engineer.agent.turn import Patience, take_turn

REMINDERS = 3  # how often in a row the model is told to go on before the loop gives up on it
TURNS_LEFT = 2  # the model is told when so many turns are left

_CUT = "The answer was cut off at its size limit, so this call was not run. Send it again, in smaller parts."
_SHORTER = "The answer was cut off at its size limit. Go on where it stopped, in smaller parts."
_EMPTY = "The answer was empty. Go on with the work."
_FINISH = (
    "The work is not over before the tool {finisher} is called; a call that is written out as text is none. "
    "Go on, or call {finisher} with what there is."
)
_CIRCLE = "[{name} has now given the same result to the same call {count} times. Do something else, or finish.]"
_LAST = "[{left} turns are left. Finish now.]"


class _Over(Exception):
    """The work is over."""

    def __init__(self, why: Why, text: str, **data: Any) -> None:
        super().__init__(text)
        self.ending = Ending(why, text, data)


@dataclass
class ToolLoop:
    """One agent at work. `finisher` names the tool that it must end with, if it must."""

    client: Client
    transcript: Transcript
    tools: Tools
    system: list[str] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)
    ledger: Ledger = field(default_factory=Ledger)
    gate: Gate = field(default_factory=OpenGate)
    notify: Listener = silent
    finisher: str | None = None
    patience: Patience | None = None
    room: int | None = None  # tokens that a conversation may reach before the loop ends with CONTEXT_FULL
    counted: bool = False  # whether the budget already has what earlier processes have spent on this transcript

    def __post_init__(self) -> None:
        self._runner = Runner(self.transcript, self.tools, self.gate, self.ledger, self.notify)
        self.use(self.client)
        self._repetition = Repetition()
        self._reminders = 0
        self._recall()

    async def run(self, opening: str | list[Block]) -> Ending:
        """Begin with `opening`, or go on with what the transcript has. Raises LogError when it cannot be written."""
        if self.transcript.end is not None:
            return Ending.of(self.transcript.end)
        if not self.transcript.messages:
            self.transcript.say("user", opening)
        return await self._until_over()

    async def ask(self, words: str | list[Block], **about: Any) -> Ending:
        """Say something more in a conversation, and go on until the model has answered. Calls left open are closed.

        `about` is kept beside the message, as `Transcript.say` has it.
        """
        calls = self._open_calls()
        results = self._results(calls, [self._runner.interrupted(call) for call in calls])
        if results:  # one message: some servers want the roles to alternate
            words = [*results, *([{"type": "text", "text": words}] if isinstance(words, str) else words)]
        self.transcript.say("user", words, **about)
        self._reminders = 0
        return await self._until_over()

    def use(self, client: Client) -> None:
        """Go on with this client, such as one for another model."""
        self.client = client
        self._head = client.head(self.system, self.tools.definitions())
        self._head_size = len(encode(self._head))

    async def _until_over(self) -> Ending:
        try:
            if self.transcript.messages[-1]["role"] == "assistant":
                await self._take_up(self._last_answer())
            while True:
                self._check_room()
                await self._take_up(await self._query())
        except _Over as over:
            ending = over.ending
            if self.transcript.end is None:
                self.transcript.finish(ending.record())
        except BudgetSpent as error:
            ending = Ending(Why.BUDGET, str(error), {"what": error.what})
        except ModelError as error:
            ending = Ending(Why.FAILED, str(error), {"kind": error.kind})
        await self.transcript.synced()
        self.notify("ending", agent=self.transcript.name, why=ending.why.value, text=ending.text)
        return ending

    # --- asking the model -----------------------------------------------------------------------------------------

    def _check_room(self) -> None:
        size = Tokens.of(self.transcript.turns[-1]["usage"]).total if self.transcript.turns else 0
        if self.room is not None and size > self.room:
            raise _Over(Why.CONTEXT_FULL, f"the conversation has reached {size:,} tokens, and {self.room:,} fit")

    async def _query(self) -> TurnResult:
        """The model's next answer, counted and kept. What was said before reaches the disk meanwhile."""
        model = self.client.settings.model
        with self.budget.call(model, (self._head_size + self.transcript.size) // 4) as call:
            synced = asyncio.ensure_future(self.transcript.synced())
            try:
                turn = await take_turn(self.client, self.transcript, self._head, self.notify, self.patience)
            finally:
                await synced
            call.spent(turn.usage)
        about: dict[str, Any] = {"model": model, "stop": turn.stop_reason, "usage": turn.usage}
        if turn.malformed:
            about["malformed"] = turn.malformed
        if turn.content and turn.stop is not Stop.REFUSAL:  # half an answer that was declined is no part of the talk
            self.transcript.say("assistant", turn.content, **about)
        self.notify(
            "turn", agent=self.transcript.name, number=len(self.transcript.turns), content=turn.content, **about
        )
        return turn

    async def _take_up(self, turn: TurnResult) -> None:
        """Do what an answer asks for. Raises _Over when there is nothing more to do."""
        match turn.stop:
            case Stop.REFUSAL:
                raise _Over(Why.REFUSED, turn.text or "the model declined to answer", details=turn.details)
            case Stop.CONTEXT_FULL:
                raise _Over(Why.CONTEXT_FULL, "the conversation has reached the end of the model's context")
            case Stop.PAUSE_TURN if turn.content and not turn.calls:
                return  # the server wants the same conversation back as it is
            case Stop.MAX_TOKENS if turn.calls:
                calls = self._open_calls()
                self._give_results(calls, [Outcome(_CUT, is_error=True)] * len(calls))
                self._count_reminder(_CUT)
            case Stop.MAX_TOKENS if turn.content:
                self._remind(_SHORTER)
            case _ if turn.calls:
                self._reminders = 0
                await self._run_calls(turn)
            case _ if not turn.content:
                self._remind(_EMPTY)
            case _ if self.finisher:
                self._remind(_FINISH.format(finisher=self.finisher))
            case _:
                raise _Over(Why.ANSWERED, turn.text)

    def _remind(self, words: str) -> None:
        self._count_reminder(words)
        self.notify("nudge", agent=self.transcript.name, text=words)
        self.transcript.say("user", words)

    def _count_reminder(self, words: str) -> None:
        self._reminders += 1
        if self._reminders > REMINDERS:
            raise _Over(Why.STUCK, f"the model did not go on after {REMINDERS} reminders. The last one: {words}")

    # --- running its tools ----------------------------------------------------------------------------------------

    async def _run_calls(self, turn: TurnResult) -> None:
        calls = self._open_calls()
        outcomes = await self._runner.run_all(calls, turn.malformed)
        over = next((_Over(Why.FINISHED, one.text, **one.data) for one in outcomes if one.ends), None)
        notes = []
        for call, outcome in zip(calls, outcomes, strict=True):
            count = self._repetition.note(call, outcome.text, self.tools.is_read_only(call))
            if count >= Repetition.STOP_AT:
                circle = f"{call.name} was called {count} times in the same way and gave the same result"
                over = over or _Over(Why.STUCK, circle)
            elif count >= Repetition.NUDGE_AT:
                notes.append(_CIRCLE.format(name=call.name, count=count))
        if self.budget.turns_left == TURNS_LEFT:
            notes.append(_LAST.format(left=TURNS_LEFT))
        self._give_results(calls, outcomes, notes, over.ending if over else None)
        if over:
            raise over

    def _give_results(
        self, calls: list[Call], outcomes: list[Outcome], notes: list[str] | None = None, end: Ending | None = None
    ) -> None:
        """One message with all results, in the order of the calls, and the loop's own remarks behind them."""
        blocks = self._results(calls, outcomes)
        for note in notes or []:
            self.notify("nudge", agent=self.transcript.name, text=note)
            blocks.append({"type": "text", "text": note})
        # The end is in the same record as the results: a kill in between cannot part them.
        self.transcript.say("user", blocks, **({"end": end.record()} if end else {}))

    @staticmethod
    def _results(calls: list[Call], outcomes: list[Outcome]) -> list[Block]:
        blocks: list[Block] = []
        for call, outcome in zip(calls, outcomes, strict=True):
            block: Block = {"type": "tool_result", "tool_use_id": call.id, "content": outcome.text}
            blocks.append({**block, "is_error": True} if outcome.is_error else block)
        return blocks

    def _open_calls(self) -> list[Call]:
        """The calls of the last answer, which have no results yet."""
        return self.transcript.calls(len(self.transcript.messages) - 1)

    # --- going on after an interruption ---------------------------------------------------------------------------

    def _last_answer(self) -> TurnResult:
        """The answer that the transcript ends with, as it came."""
        about = self.transcript.turns[-1]
        stop = about["stop"] if about["stop"] in {one.value for one in Stop} else Stop.OTHER.value
        content = self.transcript.messages[-1]["content"]
        return TurnResult(content, Stop(stop), about["stop"], about["usage"], malformed=about.get("malformed", {}))

    def _recall(self) -> None:
        """Count what an earlier process has spent and repeated."""
        for turn in () if self.counted else self.transcript.turns:
            self.budget.record(turn["model"], turn["usage"])
        for at, message in enumerate(self.transcript.messages[1:], 1):
            calls = self.transcript.calls(at - 1)
            if calls and message["role"] == "user":
                results = [block for block in message["content"] if block["type"] == "tool_result"]
                for call, result in zip(calls, results, strict=True):
                    self._repetition.note(call, result["content"], self.tools.is_read_only(call))
