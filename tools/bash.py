"""Bash: runs one shell command in the workspace, through the launcher that confines it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from pydantic import Field

from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.checkpoints import CommandChanges
from ml_engineer.tools.context import Context
from ml_engineer.tools.launch import LaunchError
from ml_engineer.tools.shells import Shell
from ml_engineer.tools.terminal import neutralise
from ml_engineer.tools.truncate import clip_line, head_and_tail

DEFAULT_TIMEOUT_MS = 120_000
MAX_TIMEOUT_MS = 600_000

DESCRIPTION = f"""Runs a command with bash in the workspace root, in a new shell each time: cd does not carry over.

- For programs: tests, builds, git. Files have tools of their own, whose changes can be undone.
- Standard input is closed: use flags such as --yes.
- When timeout ({MAX_TIMEOUT_MS:,} ms at most) is reached, the command and all it started are ended.
- run_in_background starts a server or a long run and returns an id for BashOutput and KillShell."""

# Exit codes that are an answer and not a failure, by program.
_ANSWERS = {
    **dict.fromkeys(("grep", "egrep", "fgrep", "zgrep", "rg", "pgrep", "ag"), "no match"),
    **dict.fromkeys(("diff", "cmp", "colordiff"), "the inputs differ"),
    **dict.fromkeys(("test", "[", "[["), "the condition is false"),
    "git grep": "no match",
    "git diff": "there are differences",
}
_LIST_OPERATOR = re.compile(r"&&|\|\||[;&\n]")
_LAST_CD = re.compile(r"(?:^|[;&\n])\s*cd(?:\s+[^;&|\n]*)?\s*$")


class BashInput(ToolInput):
    command: str = Field(min_length=1, description="The command.")
    timeout: int = Field(DEFAULT_TIMEOUT_MS, ge=1, le=MAX_TIMEOUT_MS, description="Milliseconds.")
    description: str = Field("", description="What it does, in a few words, for the user.")
    run_in_background: bool = Field(False, description="Return at once.")


async def run(context: Context, call: BashInput) -> ToolResult:
    workspace = context.workspace
    try:
        launch = context.launcher.prepare(call.command, cwd=workspace.root, network=context.network)
    except LaunchError as error:
        raise ToolError(f"The command was not run: {error}") from None
    checkpoint, uncovered = await _keep_tree(context)
    try:
        shell = await context.shells.start(launch, call.command, background=call.run_in_background)
    except asyncio.CancelledError:
        context.checkpoints.finish_command(checkpoint)
        raise
    except OSError as error:
        context.checkpoints.finish_command(checkpoint)
        raise ToolError(f"The command could not be started: {error.strerror} ({launch.argv[0]}).") from error
    shell.checkpoint = checkpoint
    notes = _note_uncovered(context, uncovered)
    if call.run_in_background:
        text = f"Started in the background as {shell.id}. BashOutput reads its output, KillShell ends it."
        return ToolResult("\n".join([text, *notes]), {"id": shell.id, "level": shell.level, "uncovered": uncovered})
    try:
        timed_out = await shell.wait(call.timeout / 1000) is None
        if timed_out:
            await shell.stop()
    except BaseException:
        await shell.stop(grace=0.5)  # the watcher needs a moment to end what the command started
        record_changes(context, shell)
        context.shells.forget(shell)
        raise
    changes = await asyncio.to_thread(record_changes, context, shell)
    result = _result(call, shell, timed_out, changes, uncovered, notes)
    context.shells.forget(shell)
    return result


async def _keep_tree(context: Context) -> tuple[int, list[str]]:
    """The checkpoint before a command. One that is cancelled meanwhile is closed: left open, it would take all that the
    user changes from now on for the command's."""
    beginning = asyncio.ensure_future(asyncio.to_thread(context.checkpoints.begin_command, step=context.step))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        with contextlib.suppress(ToolError):
            context.checkpoints.finish_command((await beginning)[0])
        raise


def record_changes(context: Context, shell: Shell) -> CommandChanges:
    """Closes the checkpoint of a command that has ended; at the second call there is nothing more to record."""
    if shell.checkpoint is None:
        return CommandChanges([], [])
    checkpoint, shell.checkpoint = shell.checkpoint, None
    return context.checkpoints.finish_command(checkpoint)


def _result(
    call: BashInput, shell: Shell, timed_out: bool, changes: CommandChanges, uncovered: list[str], notes: list[str]
) -> ToolResult:
    code = shell.exit_code
    answer = None if timed_out else benign(call.command, code)
    body, cut = shown_output(shell)
    if timed_out:
        status = f"Timed out after {call.timeout:,} ms; the command and all it started were ended. Output until then:"
    elif code == 0:
        status = ""
    elif answer:
        status = f"Exit code {code}: {answer}."
    else:
        status = f"Exit code {code}{_signal_name(code)}"
    if _LAST_CD.search(call.command):
        notes.append("The next command starts in the workspace root again: cd does not carry over.")
    if changes.uncovered:
        notes.append(f"Changed, but too large to be undone: {_some(changes.uncovered)}.")
    text = "\n".join(part for part in (status, body or "(no output)", *(f"[{note}]" for note in notes)) if part)
    data: dict[str, Any] = {
        "id": shell.id,
        "command": call.command,
        "exit_code": code,
        "timed_out": timed_out,
        "elapsed_seconds": round(shell.elapsed, 3),
        "output": body,
        "output_bytes": shell.output.total,
        "output_file": str(shell.output.path) if cut else None,
        "level": shell.level,
        "changed": changes.paths,
        "uncovered": uncovered,
    }
    return ToolResult(text, data, is_error=timed_out or (code != 0 and answer is None))


def shown_output(shell: Shell) -> tuple[str, bool]:
    """The output as it is shown, and whether it was cut. A file that holds nothing more is removed."""
    text = neutralise(shell.output.text()).rstrip("\n")
    cut = head_and_tail("\n".join(clip_line(line) for line in text.split("\n")))
    is_cut = cut.is_cut or shell.output.lost > 0 or len(cut.text) != len(text)
    if not is_cut:
        shell.output.discard()
        return cut.text, False
    note = f"[The whole output, {shell.output.total:,} bytes, is in {shell.output.path}; Read or Grep it.]"
    if shell.output.lost:
        note = f"[Its first part is in {shell.output.path}; {shell.output.lost:,} bytes were not kept.]"
    return f"{cut.text}\n{note}", True


def benign(command: str, code: int | None) -> str | None:
    """What exit code 1 of a single pipeline means when it is an answer rather than a failure."""
    if code != 1 or _LIST_OPERATOR.search(command.strip()):
        return None
    words = command.rsplit("|", 1)[-1].split()
    if not words:
        return None
    return _ANSWERS.get(" ".join(words[:2])) or _ANSWERS.get(words[0].rsplit("/", 1)[-1])


def _signal_name(code: int | None) -> str:
    """bash gives 128 + n for a command that a signal ended, and -n is ours when bash itself was ended."""
    names = {9: "killed", 15: "terminated", 11: "segmentation fault", 24: "CPU time limit", 25: "file size limit"}
    if code is None or not (code < 0 or code > 128):
        return ""
    number = -code if code < 0 else code - 128
    return f" ({names.get(number, f'signal {number}')})"


def _note_uncovered(context: Context, uncovered: list[str]) -> list[str]:
    if not uncovered or context.told_uncovered:
        return []
    context.told_uncovered = True
    return [f"Undo does not cover what commands do to {_some(uncovered)}: too large for a checkpoint."]


def _some(paths: list[str]) -> str:
    rest = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + rest


BASH = Tool("Bash", DESCRIPTION, BashInput, run, read_only=False)
