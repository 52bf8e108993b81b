"""Commands about the conversation itself: what it changed, what it may do, what it cost, what it is kept in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.terminal.commands_base import command
from ml_engineer.interfaces.terminal.console import Chat, Choice

if TYPE_CHECKING:
    from ml_engineer.agent.session import Session
    from ml_engineer.report.schema import Usage

_MODES = {
    "read-only": "changes nothing and runs only what is known to read",
    "ask": "asks before every change, and before commands that are not known to only read",
    "accept-edits": "edits files without asking, and asks before other commands",
    "full": "asks only where a rail or a rule says so",
}
_OFFERED = 9  # conversations to choose from, one a digit


# --- changes ----------------------------------------------------------------------------------------------------------


@command("diff", "[PATH]", "Show what this conversation has changed.")
async def diff(chat: Chat, words: str) -> None:
    """A unified diff from before the conversation to what is there now, of every file that the agent or its commands
    have changed; with PATH, of that file or folder. What you have changed in these files since is in it too."""
    from ml_engineer.tools.base import ToolError

    session = await chat.ready()
    try:
        text = session.diff(words.strip() or None)
    except ToolError as error:
        raise Refusal(str(error)) from error
    if text:
        chat.console.diff(text)
    else:
        chat.console.say("Nothing is different from before this conversation.")


@command("undo", "[force]", "Take back the changes of the last turn; again, of the one before.")
async def undo(chat: Chat, words: str) -> None:
    """Every file that the last turn changed is put back, those that commands changed included. What you have changed
    in it since is named and left alone; `/undo force` puts that back too. The model is told. Works after a resume."""
    from ml_engineer.agent.session import SessionError

    if words.strip() not in ("", "force"):
        raise Refusal("it is /undo, or /undo force to overwrite what was changed since")
    session = await chat.ready()
    try:
        undone = session.undo(force=words.strip() == "force")
    except SessionError as error:
        raise Refusal(str(error)) from error
    chat.console.say(undone.text() if undone else "There is nothing left to take back.")


# --- what it may do ---------------------------------------------------------------------------------------------------


@command("permissions", "[MODE]", "Show what the agent may do without asking, or change the mode.")
async def permissions(chat: Chat, words: str) -> None:
    """The modes are `read-only`, `ask`, `accept-edits` and `full`. What was allowed with "this kind for the run" is
    listed; it holds for this conversation, also when it is resumed."""
    from ml_engineer.tools.permissions import Mode

    session = await chat.ready()
    wanted = words.strip()
    if wanted:
        if wanted not in _MODES:
            raise Refusal(f"{wanted} is no mode; there are {', '.join(_MODES)}")
        session.set_mode(Mode(wanted))
    current = session.mode.value
    rows = [["→" if name == current and not chat.console.plain else "", name, text] for name, text in _MODES.items()]
    chat.console.say(f"Mode: {current}, which {_MODES[current]}.")
    if not wanted:
        chat.console.table(["", "mode", "what it does"], rows)
    if session.log.grants:
        chat.console.say("Allowed in this conversation:\n" + "\n".join(f"  {rule}" for rule in session.log.grants))


@command("sandbox", "", "Show how commands are confined here.")
async def sandbox(chat: Chat, words: str) -> None:
    """The level that its self-test has proved, what it keeps, what it does not, and how to get a stronger one."""
    session = await chat.ready()
    if session.sandbox is None:
        chat.console.say("sandbox: off. Commands cannot be watched here, so every command is asked for.")
        return
    promise = session.sandbox.promise
    chat.console.say(f"{session.sandbox.banner()}\nNot kept: {promise.missing}\nStronger: {promise.remedy}")


@command("model", "[NAME]", "Show which model is asked, or go on with another.")
async def model(chat: Chat, words: str) -> None:
    """Another model of the same server. The conversation stays."""
    from ml_engineer.agent.client import ConfigError
    from ml_engineer.agent.session import NO_MODEL, SessionError

    session = await chat.ready()
    if words.strip():
        try:
            session.set_model(words.strip())
        except (ConfigError, SessionError) as error:
            raise Refusal(str(error)) from error
    settings = session.settings
    chat.console.say(f"Model: {settings.model} at {settings.place}" if settings else NO_MODEL)


@command("cost", "", "Show what this conversation has cost, by agent.")
async def cost(chat: Chat, words: str) -> None:
    """Turns, tokens and price of the conversation, its reviews, implementations and peers, and what is left of the
    caps. A model without a known price is "unpriced", never zero."""
    session = await chat.ready()
    usage = session.budget.usage()
    rows = [_spent(name, one) for name, one in usage.by_agent.items()]
    chat.console.table(["agent", "turns", "tokens", "of them cached", "cost"], [*rows, _spent("together", usage)])
    caps = session.budget.caps
    limits = [f"${caps.cost}"] if caps.cost is not None else []
    limits += [f"{caps.turns} turns"] if caps.turns is not None else []
    limits += [f"{caps.tokens:,} tokens"] if caps.tokens is not None else []
    chat.console.say(f"Limit: {', '.join(limits) if limits else 'none'}")


def _spent(name: str, usage: Usage) -> list[str]:
    tokens = usage.tokens
    every = tokens.input + tokens.output + tokens.cache_read + tokens.cache_write
    price = "unpriced" if usage.cost_usd == "unpriced" else f"${usage.cost_usd:.4f}"
    return [name, str(usage.turns), f"{every:,}", f"{tokens.cache_read:,}", price]


@command("compact", "", "Go on in a shorter conversation that keeps what matters.", needs_model=True)
async def compact(chat: Chat, words: str) -> None:
    """Kept word for word: what you said, the plan, records of steps and reviews, limits, hand-offs. The rest is
    summarised by the model. Happens by itself when the conversation nears the end of the model's context."""
    from ml_engineer.agent.session import SessionError

    session = await chat.ready()
    before = session.tokens
    with chat.console.busy("compacting"):
        try:
            text = await session.compact()
        except SessionError as error:
            raise Refusal(str(error)) from error
    chat.console.output(f"What is carried over ({before:,} tokens before, about {len(text) // 4:,} now)", text)


# --- peers and runs ---------------------------------------------------------------------------------------------------


@command("peers", "", "List the peers that can be asked, and the hand-offs of this conversation.")
async def peers(chat: Chat, words: str) -> None:
    """Who there is, how each is reached, and where it is defined. /delegate asks one."""
    from ml_engineer.agent.client import config_path
    from ml_engineer.delegation.peers import load_peers, user_folders
    from ml_engineer.delegation.settings import DelegationError, read_settings
    from ml_engineer.interfaces.peers import listed

    directory = load_peers(user_folders(config_path()))
    for problem in directory.problems:
        chat.console.error(problem)
    try:
        chat.console.say(listed(directory, read_settings(config_path())).rstrip())
    except DelegationError as error:
        raise Refusal(str(error)) from error
    made = (await chat.ready()).handoffs()
    if made:
        chat.console.say("\nHand-offs of this conversation:\n" + "\n".join(f"  {line}" for line in made))


@command("runs", "", "List the runs of this repository: conversations, reviews, implementations.")
async def runs(chat: Chat, words: str) -> None:
    """Newest last. /resume goes on with a conversation; `ml-engineer runs` does the rest with the others."""
    session = await chat.ready()
    rows = [_row(one, session) for one in _runs_of(chat.root)]
    if rows:
        chat.console.table(["run", "kind", "state", "about"], rows)
    else:
        chat.console.say("No run of this repository is kept.")


def _runs_of(root: Path) -> list[tuple[str, Path, dict[str, object]]]:
    """Id, folder and what was asked for, oldest first. A run that cannot be read is none of this repository's."""
    from ml_engineer.agent.runs import Run, RunError, list_folders

    found = []
    for folder in list_folders():
        try:
            meta = Run.open(folder.name).meta
        except RunError:
            continue
        if meta.get("target") == str(root):
            found.append((folder.name, folder, meta))
    return found


def _row(entry: tuple[str, Path, dict[str, object]], session: Session) -> list[str]:
    from ml_engineer.agent.runs import Run
    from ml_engineer.agent.session_log import first_words
    from ml_engineer.report.text import one_line

    name, folder, meta = entry
    if meta.get("mode") != "chat":
        return [name, str(meta.get("mode")), Run.open(name).state, one_line(str(meta.get("task") or ""))[:100]]
    words, turns = first_words(folder)
    state = "this one" if name == session.run.id else "open elsewhere" if Run.open(name).state == "running" else "kept"
    return [name, "chat", state, f"{one_line(words)[:90]} ({turns} turns)" if turns else "(nothing was said)"]


@command("resume", "[RUN]", "Go on with an earlier conversation about this repository.")
async def resume(chat: Chat, words: str) -> None:
    """The conversation, the plan, the permissions that were granted and what /undo can take back are there again,
    whatever ended it. RUN may be shortened to its beginning; without it you choose from the latest ones."""
    from ml_engineer.agent.runs import Run, RunError
    from ml_engineer.agent.session_log import first_words

    session = await chat.ready()
    if words.strip():
        try:
            run = Run.open(words.strip())
        except RunError as error:
            raise Refusal(str(error)) from error
        _require_conversation(run, chat.root, session)
        await chat.resume(run.id)
        return
    kept = [one for one in _runs_of(chat.root) if one[2].get("mode") == "chat" and one[0] != session.run.id]
    rows = [(name, _row((name, folder, meta), session)) for name, folder, meta in kept if first_words(folder)[1]]
    if not rows:
        raise Refusal("there is no earlier conversation about this repository")
    latest = rows[-_OFFERED:][::-1]
    choices = [Choice(str(number), f"{row[0]}  {row[3]}") for number, (_, row) in enumerate(latest, 1)]
    answer = await chat.console.choose("Which one?", choices)
    if answer is not None:
        await chat.resume(latest[int(answer) - 1][0])
    elif not chat.console.interactive:
        chat.console.table(["run", "kind", "state", "about"], [row for _, row in latest])
        raise Refusal("name one of them: /resume RUN")


def _require_conversation(run: object, root: Path, session: Session) -> None:
    from ml_engineer.agent.runs import Run

    assert isinstance(run, Run)
    if run.id == session.run.id:
        raise Refusal("that is this conversation")
    if run.meta.get("mode") != "chat":
        raise Refusal(f"run {run.id} is a {run.meta.get('mode')}, no conversation: ml-engineer runs resume {run.id}")
    if run.meta.get("target") != str(root):
        raise Refusal(f"run {run.id} is about {run.meta.get('target')}: ml-engineer chat {run.meta.get('target')}")
    if run.state == "running":
        raise Refusal(f"run {run.id} is open in another process; close it there first")


# --- the screen -------------------------------------------------------------------------------------------------------


@command("unfold", "[NUMBER]", "Show in full what was folded.")
async def unfold(chat: Chat, words: str) -> None:
    """The last folded output, or the one with this number."""
    if words.strip() and not words.strip().isdecimal():
        raise Refusal("give the number that stands beside the folded output: /unfold 3")
    chat.console.unfold(int(words) if words.strip() else None)


@command("clear", "", "Begin an empty conversation; this one stays on disk.")
async def clear(chat: Chat, words: str) -> None:
    """/resume comes back to it."""
    await chat.restart()


@command("quit", "", "Leave. The conversation is kept.")
async def quit(chat: Chat, words: str) -> None:
    """So does Ctrl-D on an empty line. `/resume` the next time goes on with it."""
    chat.leave()
