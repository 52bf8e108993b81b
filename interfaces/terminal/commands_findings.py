"""Commands around findings and the report: walk through them, explain a rule, fix, suppress, send on, show, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.interfaces.options import SEVERITIES, Format, Refusal
from ml_engineer.interfaces.terminal.commands_base import command, findings_of, places, require_report
from ml_engineer.interfaces.terminal.console import Chat, Choice, FindingAct

if TYPE_CHECKING:
    from ml_engineer.agent.session import Session
    from ml_engineer.report.schema import Finding

_SUFFIXES: dict[str, Format] = {
    ".md": "md",
    ".json": "json",
    ".html": "html",
    ".sarif": "sarif",
    ".txt": "text",
}
_ACTS = ("fix", "suppress", "send")


@command("findings", "[SEVERITY | step N | NUMBER [fix | suppress REASON | send PEER]]", "Walk through what was found.")
async def findings(chat: Chat, words: str) -> None:
    """Shows the findings of the last review, or of the engine before there was one, worst first: all of them, those at
    or above a severity, or those of a step. Each can be fixed by the agent, suppressed with a reason (a comment at the
    place, or an entry in pyproject.toml), or sent to a peer: in the view with its keys, or by its number in the whole
    list, as in `/findings 3 suppress the file is signed at build time`."""
    session = await chat.ready()
    found = await findings_of(chat, session)
    first, _, rest = words.partition(" ")
    if first.isdecimal():
        finding = _numbered(found, int(first))
        if rest:
            await act_on(chat, session, _parse_act(finding, rest))
        else:
            await _walk(chat, session, [finding])
        return
    await _walk(chat, session, _filtered(found, words))


def _numbered(found: list[Finding], number: int) -> Finding:
    if not 1 <= number <= len(found):
        raise Refusal(
            f"there is no finding {number}; " + (f"they go from 1 to {len(found)}" if found else "none at all")
        )
    return found[number - 1]


def _filtered(found: list[Finding], words: str) -> list[Finding]:
    wanted = words.lower().split()
    if not wanted:
        return found
    if wanted[0] in SEVERITIES and len(wanted) == 1:
        return [one for one in found if one.severity.rank <= SEVERITIES.index(wanted[0])]
    if wanted[0] == "step" and len(wanted) == 2 and wanted[1].isdecimal():
        return [one for one in found if one.step == int(wanted[1])]
    raise Refusal(f"/findings {words}: give a severity ({', '.join(SEVERITIES)}), `step N`, or a finding's number")


def _parse_act(finding: Finding, words: str) -> FindingAct:
    name, _, text = words.partition(" ")
    match name:
        case "fix":
            return FindingAct("fix", finding)
        case "suppress" | "send" if text.strip():
            return FindingAct("suppress" if name == "suppress" else "send", finding, text.strip())
        case "suppress":
            raise Refusal("a suppression needs a reason: /findings 3 suppress WHY IT DOES NOT MATTER HERE")
        case "send":
            raise Refusal("name the peer: /findings 3 send devops-engineer; /peers lists them")
    raise Refusal(f"{name!r} is nothing that can be done with a finding; there are {', '.join(_ACTS)}")


async def _walk(chat: Chat, session: Session, found: list[Finding]) -> None:
    if not found:
        chat.console.say("No findings.")
        return
    act = await chat.console.findings(found, chat.root, peer_names())
    if act is not None:
        await act_on(chat, session, act)


# --- what can be done about a finding ---------------------------------------------------------------------------------


async def act_on(chat: Chat, session: Session, act: FindingAct) -> None:
    """Do what was chosen for a finding."""
    match act.act:
        case "fix":
            if session.settings is None:
                raise Refusal(f"fixing needs a model. What to do by hand: {act.finding.remedy}")
            await chat.say(fix_words(act.finding))
        case "suppress":
            await suppress(chat, session, act.finding, act.text)
        case "send":
            from ml_engineer.interfaces.terminal.commands_work import ask_peer

            await ask_peer(chat, session, act.text, question_about(act.finding), list(act.finding.evidence))


def fix_words(finding: Finding) -> str:
    """What the agent is asked to do about a finding."""
    return (
        f"Fix {finding.rule} at {places(finding)}: {finding.title}. Why it matters: {finding.why} Suggested: "
        f"{finding.remedy} Make the smallest change that solves it for good, and run what shows that it holds."
    )


def question_about(finding: Finding) -> str:
    return (
        f"{finding.title} ({finding.rule}, {finding.severity.value}) at {places(finding)}. {finding.why} The usual "
        f"remedy: {finding.remedy} Does it matter here, and what should be done about it in this repository?"
    )


async def suppress(chat: Chat, session: Session, finding: Finding, reason: str) -> None:
    """Put a finding aside where it stands, in a form that the next review reads."""
    from ml_engineer.agent.session import SessionError
    from ml_engineer.interfaces.terminal.commands_suppress import SuppressError, edits
    from ml_engineer.tools.base import ToolError

    title = f"{finding.rule} is put aside: {reason}"
    try:
        for path, compute in edits(chat.root, finding, reason):
            written = await session.change(title, path, compute)
            chat.console.say(f"{written.path}: {finding.rule} is put aside there. /undo takes it back.")
    except (SuppressError, SessionError, ToolError) as error:
        raise Refusal(str(error)) from error


def peer_names() -> list[str]:
    from ml_engineer.agent.client import config_path
    from ml_engineer.delegation.peers import load_peers, user_folders

    return sorted(load_peers(user_folders(config_path())).peers)


# --- rules and reports ------------------------------------------------------------------------------------------------


@command("explain", "RULE", "Explain a rule, and where it fires here.")
async def explain(chat: Chat, words: str) -> None:
    """Why a rule matters, what to do, what it rests on, and each place in this repository where it fires. The rule is
    named by id (`MLE0502`), by name, or by the number of a finding in the list of /findings."""
    from ml_engineer.interfaces import rules

    if not words:
        raise Refusal("name a rule: /explain MLE0502, or the number of a finding")
    session = await chat.ready()
    found = await findings_of(chat, session)
    if words.isdecimal():
        finding = _numbered(found, int(words))
        if not finding.rule.startswith("MLE"):
            chat.console.say(f"{finding.title}\n\nWhy:      {finding.why}\nRemedy:   {finding.remedy}")
            return
        words = finding.rule
    known = rules.find(words)
    chat.console.say("\n".join(rules.explain(rule) for rule in known).rstrip())
    ids = {rule.id for rule in known}
    here = [f"  {places(one, 8)}: {one.title}" for one in found if one.rule in ids]
    chat.console.say("\n".join(["", "Here:", *here]) if here else "\nHere it does not fire.")


@command("report", "", "Show the report of the last review.")
async def report(chat: Chat, words: str) -> None:
    """The whole report, as `ml-engineer review` prints it. /export writes it to a file."""
    chat.console.report(require_report(await chat.ready()))


@command("export", "FILE", "Write the report to a file: .md, .json, .html, .sarif or .txt.")
async def export(chat: Chat, words: str) -> None:
    """The form follows from the file's ending. A file that is there already is replaced only when you say so."""
    from ml_engineer.interfaces.render import render
    from ml_engineer.report.atomic import write_named

    path = Path(words).expanduser()
    kind = _SUFFIXES.get(path.suffix.lower())
    if not words or kind is None:
        raise Refusal(f"/export {words}: name a file that ends with one of {', '.join(_SUFFIXES)}")
    found = require_report(await chat.ready())
    if not path.absolute().parent.is_dir():
        raise Refusal(f"there is no folder {path.absolute().parent}; make it first")
    if path.exists() and not await _may_replace(chat, path):
        raise Refusal(f"{path} is there already and was left alone")
    try:
        write_named(path, render(found, kind).encode())
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror or error}") from error
    chat.console.say(f"Written: {path}")


async def _may_replace(chat: Chat, path: Path) -> bool:
    answer = await chat.console.choose(
        f"{path} is there already.", [Choice("r", "replace it"), Choice("n", "leave it")]
    )
    return answer == "r"
