"""BashOutput and KillShell: what a command in the background has written, and its end."""

from __future__ import annotations

import re

from pydantic import Field

from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.bash import record_changes
from ml_engineer.tools.context import Context
from ml_engineer.tools.shells import Shell
from ml_engineer.tools.terminal import neutralise
from ml_engineer.tools.truncate import head_and_tail


class BashOutputInput(ToolInput):
    bash_id: str = Field(description="The id that Bash gave.")
    filter: str | None = Field(None, description="Regular expression: only these lines; the others count as read.")


class KillShellInput(ToolInput):
    shell_id: str = Field(description="The id that Bash gave.")


async def read_output(context: Context, call: BashOutputInput) -> ToolResult:
    shell = _find(context, call.bash_id)
    try:
        wanted = re.compile(call.filter) if call.filter else None
    except re.error as error:
        raise ToolError(f"filter is no valid regular expression: {error}. Correct it, or leave it out.") from None
    if shell.exit_code is not None:
        await shell.wait(0)
        record_changes(context, shell)
    text = neutralise(shell.output.poll())
    if wanted:
        text = "\n".join(line for line in text.split("\n") if wanted.search(line))
    cut = head_and_tail(text.rstrip("\n"))
    if cut.is_cut:
        text = f"{cut.text}\n[The whole output is in {shell.output.path}; Read or Grep it.]"
    else:
        text = cut.text
    status = _status(shell)
    data = {"id": shell.id, "status": status, "exit_code": shell.exit_code, "output": text}
    return ToolResult(f"{shell.id}: {status}\n{text or '(nothing new)'}", data)


async def kill(context: Context, call: KillShellInput) -> ToolResult:
    shell = _find(context, call.shell_id)
    was_running = shell.exit_code is None
    await shell.stop()
    record_changes(context, shell)
    done = "was ended" if was_running else f"had already ended ({_status(shell)})"
    return ToolResult(f"{shell.id} {done}.", {"id": shell.id, "exit_code": shell.exit_code, "ended": was_running})


def _find(context: Context, identifier: str) -> Shell:
    shell = context.shells.get(identifier)
    if shell is not None and shell.background:
        return shell
    known = ", ".join(other.id for other in context.shells.in_background()) or "none"
    raise ToolError(
        f"There is no background command {identifier}. Known: {known}. Start one with Bash and run_in_background."
    )


def _status(shell: Shell) -> str:
    if shell.exit_code is None:
        return f"running for {shell.elapsed:.0f} s"
    return "ended on request" if shell.stopped else f"ended with exit code {shell.exit_code}"


BASH_OUTPUT = Tool(
    "BashOutput",
    "Gives what a background command has written since the last call, and whether it still runs.",
    BashOutputInput,
    read_output,
    read_only=True,
)
KILL_SHELL = Tool("KillShell", "Ends a background command and all it started.", KillShellInput, kill, read_only=False)
