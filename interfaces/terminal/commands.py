"""The commands of the chat: one registry, from which the help, the completion and `docs/chat.md` follow.

await dispatch(chat, "/findings high")      runs it, or says why not
completions()                               (name, one line) of each, for whoever types
python -m ml_engineer.interfaces.terminal.commands > docs/chat.md
"""

from __future__ import annotations

import difflib
import sys

from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.terminal import commands_findings, commands_session, commands_work
from ml_engineer.interfaces.terminal.commands_base import Command, command
from ml_engineer.interfaces.terminal.console import Chat


@command("help", "[COMMAND]", "List the commands, or explain one.")
async def help(chat: Chat, words: str) -> None:
    """Everything that begins with a slash. Anything else is said to the agent; `@path` in it brings a file along."""
    name = words.strip().removeprefix("/")
    if name:
        found = _find(name)
        chat.console.say(f"{found.usage}\n\n{found.help} {found.about}".rstrip())
        return
    rows = [[one.usage, one.help + (" (needs a model)" if one.needs_model else "")] for one in COMMANDS.values()]
    chat.console.table([], rows)
    chat.console.say("\nAnything else is said to the agent. @path in it brings a file or a folder along.")


_GROUPS: dict[str, tuple[Command, ...]] = {
    "Work": (
        commands_work.review, commands_work.implement, commands_work.step, commands_work.plan, commands_work.delegate,
    ),
    "Findings and reports": (
        commands_findings.findings, commands_findings.explain, commands_findings.report, commands_findings.export,
    ),
    "Changes and permissions": (
        commands_session.diff, commands_session.undo, commands_session.permissions, commands_session.sandbox,
    ),
    "The conversation": (
        commands_session.model, commands_session.cost, commands_session.compact, commands_session.peers,
        commands_session.runs, commands_session.resume, commands_session.unfold, commands_session.clear, help,
        commands_session.quit,
    ),
}  # fmt: skip
COMMANDS: dict[str, Command] = {one.name: one for group in _GROUPS.values() for one in group}


def completions() -> list[tuple[str, str]]:
    """Name, without the slash, and help of every command."""
    return [(one.name, one.help) for one in COMMANDS.values()]


async def dispatch(chat: Chat, line: str) -> None:
    """Run the command in a line that begins with a slash. Raises click.ClickException with what to do instead."""
    name, _, words = line.strip().removeprefix("/").partition(" ")
    await _find(name).run(chat, words.strip())


def _find(name: str) -> Command:
    found = COMMANDS.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
        hint = f"did you mean /{near[0]}? " if near else ""
        raise Refusal(f"there is no command /{name}; {hint}/help lists them")
    return found


def document() -> str:
    """`docs/chat.md`, which a test keeps equal to this."""
    lines = [_HEAD]
    for title, group in _GROUPS.items():
        lines += [f"### {title}", ""]
        for one in group:
            needs = " Needs a model." if one.needs_model else ""
            about = " ".join(one.about.split())
            lines += [f"**`{one.usage}`**: {one.help} {about}{needs}".rstrip(), ""]
    return "\n".join([*lines, _TAIL])


_HEAD = """# Chat

`ml-engineer` at a terminal, or `ml-engineer chat [PATH]`, opens a conversation about a repository. Made from the
commands' own help by `python -m ml_engineer.interfaces.terminal.commands`; do not edit.

Say what you want in your own words: a question ("why is the recall so low?"), a change ("refuse bad input with a 400"),
or all of it ("take it to production"). The agent works on the files in front of you, asks before it changes or runs
anything that the permission mode does not allow, and keeps every change in a checkpoint that `/undo` takes back.

- `@path` in what you say brings a file or the listing of a folder along, up to 120,000 characters together; nothing
  outside the repository. Quote a path with spaces: `@"my notes.md"`.
- A paste of more than 60,000 characters is put into a file that the agent can read; its beginning and end are shown.
- Enter sends. A backslash before Enter, Alt-Enter or Ctrl-J begins a new line; the arrows bring back what was said, in
  earlier chats too. The history is a file in the state directory that only you can read; pastes are in it.
- What you send while it works waits its turn, also after Ctrl-C; the up arrow takes it back. Shift-Tab goes through the
  permission modes, Ctrl-O unfolds what was folded last.
- Before something that needs your permission you see the command or the change. `y` allows it once, `a` its kind for
  this conversation (the question says what that is), `n` denies it, `t` denies it with a word to the model. Enter alone
  does nothing, and neither does what you type or paste before the question can have been seen.
- Ctrl-C stops the turn. What was done stays done, what was being run is ended, and the next thing you say goes on.
  Ctrl-D, or Ctrl-C twice at an empty line, leaves; where messages wait, Ctrl-D says so first.
- From a pipe each line is a message; the exit code is 2 where one was not answered.
- The conversation is kept in a run outside the repository, as it happens. Kill the terminal and come back: `/resume`
  brings back what was said, the plan, the granted permissions and what can be undone.
- When the conversation nears the end of the model's context it is compacted: what you said (in an eighth of the
  context; older messages are shortened), the plan, records of steps and reviews, limits and hand-offs go over word for
  word, the rest as a summary. The old text stays readable for the agent. For a server of your own, say how large the
  context is: `window = 32768` in `[model]` of `config.toml`, or `ML_ENGINEER_WINDOW`.
- Without a model the conversation opens too: reviews, findings, rules, reports, suppressions, peers that are reached in
  another way, runs and undo all work.

## Commands
"""
_TAIL = """## Suppressing a finding

`suppress` in the findings view, or `/findings 3 suppress REASON`, writes a comment above the place,

```python
# ml-engineer: ignore[MLE0502] the file is signed at build time
model = pickle.load(file)
```

where it certainly changes nothing: the file is parsed before and after. Elsewhere (JSON, notebooks, the middle of a
string) it adds an entry to `[tool.ml-engineer]` in `pyproject.toml`. Both go through the permission mode and can be
undone; the next review lists what was put aside, with the reason.
"""

if __name__ == "__main__":
    sys.stdout.write(document())
