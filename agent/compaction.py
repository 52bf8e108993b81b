"""Going on with a conversation that has become too long: what is carried over, and who writes the rest.

    text = await compact(client, transcript, log, …)      the opening of the new conversation

Word for word go over: what the user said, the plan, what was kept (records of steps, results of reviews), limits and
hand-offs. They come from the session's own log and files, not from a model, so that none can be lost or reworded. What
the user said has a share of the context, or a long conversation would one day be nothing else: what was said last is
whole, older messages are shortened. The rest is summarised by the model, in a conversation of its own; where it cannot,
the last exchanges are listed instead.
The old transcript stays as it is, and its text is put where the tools can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_engineer.agent.budget import Budget, BudgetSpent
from ml_engineer.agent.chat_tools import plan_text
from ml_engineer.agent.client import Client
from ml_engineer.agent.failures import ModelError
from ml_engineer.agent.prompts import quoted, render
from ml_engineer.agent.session_log import Kept, SessionLog, Turn
from ml_engineer.agent.stream import Stop
from ml_engineer.agent.transcript import Block, Message, Transcript
from ml_engineer.agent.turn import Patience, take_turn
from ml_engineer.report.text import one_line, plural
from ml_engineer.tools.truncate import head_and_tail

_SIZES = (240_000, 24_000)  # characters of the conversation that are summarised; the second where the first is too much
_RESULT = 2_000  # characters of one tool's result in it
_LAST = 6_000  # characters that are listed where no model summarises
_OLDER = 200  # characters of a message of the user's that is shortened


@dataclass(frozen=True)
class Carried:
    """What goes over word for word beside the log: limits, and what was begun (hand-offs, commands), a line each.
    `room` is how many characters what the user said may take."""

    limits: Sequence[str]
    begun: Sequence[str]
    room: int


async def compact(
    client: Client | None, transcript: Transcript, log: SessionLog, carried: Carried, full: Path, budget: Budget
) -> str:
    """The opening of the new conversation. `full` is the file with the text of the old one. Raises nothing of a model:
    without its summary the last exchanges stand for it."""
    rendered = "\n\n".join(_rendered(transcript.messages))
    summary = await _summary(client, rendered, budget) if client is not None else None
    if summary is None:
        summary = "(No summary could be made; these are the last exchanges.)\n\n" + rendered[-_LAST:]
    parts = [*_word_for_word(log, carried), f"# The rest, in short\n\n{quoted('the conversation', summary)}"]
    parts.append(f"The whole conversation until here is in {full}: Grep or Read it where a detail matters.")
    return "\n\n".join(parts)


def full_text(messages: Sequence[Message]) -> str:
    """A conversation as text, nothing left out."""
    return "\n\n".join(_rendered(messages, None)) + "\n"


def _word_for_word(log: SessionLog, carried: Carried) -> Iterator[str]:
    yield (
        "This conversation goes on from one that became too long. What follows is carried over word for word, except "
        "where it says otherwise."
    )
    yield "# What the user said, oldest first"
    yield from said_by_user(list(log.requests()), carried.room)
    if log.items:
        yield f"# The plan\n\n{plan_text(log.items)}"
    for kept in log.kept:
        yield _kept(kept)
    limits = [*carried.limits, *dict.fromkeys(log.denials)]
    if limits:
        yield _listed("# Limits, which still hold", limits)
    if carried.begun:
        yield _listed("# Hand-offs, and commands that are still running", carried.begun)


def said_by_user(requests: Sequence[Turn], room: int) -> list[str]:
    """The last messages whole in three quarters of the room, those before them shortened in the rest."""
    said: list[str] = []
    taken, whole = 0, True
    for turn in reversed(requests):
        words = turn.words if said else head_and_tail(turn.words, max_chars=room * 3 // 4).text
        whole = whole and taken + len(words) <= room * 3 // 4
        text = f"{turn.number}. {words if whole or not said else _shortened(words)}"
        taken += len(text)
        if said and taken > room:
            said.append(f"(The first {plural(len(requests) - len(said), 'message')} are left out here.)")
            break
        said.append(text)
    return said[::-1]


def _shortened(words: str) -> str:
    words = one_line(words)
    return words if len(words) <= _OLDER else f"{words[:_OLDER]} … (shortened)"


def _kept(kept: Kept) -> str:
    return f"# {kept.title}\n\n{quoted(kept.title, kept.text)}"


def _listed(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, "", *(f"- {line}" for line in lines)])


# --- the rest ---------------------------------------------------------------------------------------------------------


async def _summary(client: Client, rendered: str, budget: Budget) -> str | None:
    """The model's summary, or None where none is to be had."""
    head = client.head([render("compact.md.j2")], [])
    for size in _SIZES:
        conversation = Transcript()
        conversation.say("user", quoted("the conversation", head_and_tail(rendered, max_chars=size).text))
        try:
            with budget.call(client.settings.model, conversation.size // 4) as call:
                turn = await take_turn(client, conversation, head, patience=Patience(attempts=3))
                call.spent(turn.usage)
        except BudgetSpent:
            return None
        except ModelError as error:
            if error.kind in ("too long", "request"):
                continue
            return None
        if turn.stop is not Stop.REFUSAL and turn.text.strip():
            return turn.text.strip()
    return None


def _rendered(messages: Sequence[Message], limit: int | None = _RESULT) -> Iterator[str]:
    for message in messages:
        content = message["content"]
        blocks: list[Block] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            text = _block(block, limit)
            if text:
                yield f"{message['role']}: {text}"


def _block(block: Block, limit: int | None) -> str:
    match block["type"]:
        case "text":
            text = str(block["text"])
        case "tool_use":
            return f"calls {block['name']} {one_line(str(block['input']))[:limit]}"
        case "tool_result":
            text = f"result: {block['content']}"
        case _:
            return ""  # thinking is for the model that thought it
    return text if limit is None else head_and_tail(text, max_chars=limit).text
