"""What the measuring tools share: running a program inside the sandbox, and keeping what it measured.

    result, run = await run_inside(context, our_python("measure_load"), spec, seconds=90)
    evidence = keep(context, "benchmark", method, [Figure("latency p50", 12.3, "ms", 900)], raw=result)

The measuring program itself runs in the sandbox, beside what it measures and in one invocation: at level `bwrap` a
command has a network of its own, whose loopback only it can reach, so a load generator outside would reach nothing. It
is sent as text on the command line, because the folder of this package may be hidden inside.

Each call leaves a folder `measurements/<number>-<tool>/` in the run's directory: `raw.json` with every raw figure, and
one record a figure, whose path and value a claim cites and which the evidence check reads again. Commands cannot write
there. The figures are as honest as the code that was measured: it could slow down or hurry when it is watched.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_engineer.report.atomic import write_atomic
from ml_engineer.report.schema import Measurement
from ml_engineer.tools.base import ToolError
from ml_engineer.tools.bash import record_changes, shown_output
from ml_engineer.tools.checkpoints import CommandChanges
from ml_engineer.tools.context import Context
from ml_engineer.tools.launch import Launch, LaunchError
from ml_engineer.tools.measure_watch import MARKER
from ml_engineer.tools.shells import Shell
from ml_engineer.tools.terminal import neutralise

_WITHOUT_SOCKETS = ("landlock", "network-only")
_ARGUMENT_BYTES = 128 << 10  # the kernel's limit on one argument, which holds program and input
_NEIGHBOURS = 0.15  # of all cores: from here on other processes are worth a word
_BOOT = """
import sys, types
for name, text in {texts!r}.items():
    module = sys.modules["ml_engineer.tools." + name] = types.ModuleType("ml_engineer.tools." + name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
module.main()
"""


@dataclass(frozen=True)
class Inside:
    """How a measurement went: the sandbox level it had, and what it changed in the workspace."""

    level: str
    changes: CommandChanges


def our_python(program: str) -> str:
    """The start of a command that runs `program` and measure_watch under our own Python, which has psutil."""
    texts = {name: _text(name) for name in ("measure_watch", program)}
    return shlex.join(["exec", sys.executable, "-I", "-c", _BOOT.format(texts=texts)])


def their_python(python: str, program: str) -> str:
    """The same for a program that needs nothing of ours; `python` is what starts the target's Python, as typed."""
    return f"{python} -c {shlex.quote(_text(program) + chr(10) + 'main()')}"


def _text(program: str) -> str:
    return Path(__file__).with_name(f"{program}.py").read_text(encoding="utf-8")


async def run_inside(
    context: Context, program: str, spec: dict[str, Any], *, seconds: float, loopback: bool = False
) -> tuple[dict[str, Any], Inside]:
    """Runs a measuring program and gives its result. `loopback`: it needs sockets, to itself only.

    Raises ToolError when it could not measure, with what the command wrote last; `seconds` bound it from outside.
    """
    command = f"{program} {shlex.quote(json.dumps(spec))}"
    if len(command.encode()) >= _ARGUMENT_BYTES:
        raise ToolError("The input is too large for a call. Put the data into a file of the workspace and name that.")
    launch = _launch(context, command, loopback=loopback)
    checkpoint, _ = await asyncio.to_thread(context.checkpoints.begin_command, step=context.step)
    try:
        shell = await context.shells.start(launch, str(spec.get("command", program)))
    except OSError as error:
        context.checkpoints.finish_command(checkpoint)
        raise ToolError(f"The command could not be started: {error.strerror} ({launch.argv[0]}).") from error
    shell.checkpoint = checkpoint
    try:
        in_time = await shell.wait(seconds) is not None
        if not in_time:
            await shell.stop()
    except BaseException:
        await shell.stop(grace=0.5)
        record_changes(context, shell)
        context.shells.forget(shell)
        raise
    changes = await asyncio.to_thread(record_changes, context, shell)
    try:
        return _result(shell, in_time, seconds), Inside(shell.level, changes)
    finally:
        context.shells.forget(shell)


def _launch(context: Context, command: str, *, loopback: bool) -> Launch:
    """With a network of its own a server is reached by nobody else; where there is none, sockets must be allowed."""
    cwd = context.workspace.root
    try:
        if not loopback:
            return context.launcher.prepare(command, cwd=cwd, network=context.network)
        launch = context.launcher.prepare(command, cwd=cwd, network=False)
        if launch.level not in _WITHOUT_SOCKETS:
            return launch
        if context.network:
            return context.launcher.prepare(command, cwd=cwd, network=True)
    except LaunchError as error:
        raise ToolError(f"The command was not run: {error}") from None
    raise ToolError(
        f"No server can be measured here: at sandbox level {launch.level} commands make no sockets, not even to "
        "themselves. Ask the user to install bubblewrap or to allow the network; else leave the figures unknown."
    )


def _result(shell: Shell, in_time: bool, seconds: float) -> dict[str, Any]:
    text = shell.output.text()
    start = text.rfind("\n" + MARKER)
    if start >= 0:
        shell.output.discard()
        result = json.loads(text[start + 1 + len(MARKER) :].partition("\n")[0])
        assert isinstance(result, dict)
        if "error" not in result:
            return result
        tail = f"\nIt wrote last:\n{result['tail']}" if result["tail"] else ""
        raise ToolError(neutralise(f"Nothing was measured: {result['error']}.{tail}"))
    shown, _ = shown_output(shell)
    why = f"exit code {shell.exit_code}" if in_time else f"it still ran after {seconds:.0f} s and was ended"
    raise ToolError(
        f"Nothing was measured: {why}.\n{_meaning(shell.exit_code, in_time)}It wrote:\n{shown or '(nothing)'}"
    )


def _meaning(code: int | None, in_time: bool) -> str:
    if not in_time:
        return "Measure less (fewer repeats, smaller batches, a shorter time).\n"
    if code == 127:
        return "There is no such program inside the sandbox: check the path, or put its folder on PATH.\n"
    if code in (137, -9):
        return "It was killed, most often because it took more memory than the sandbox allows.\n"
    if code in (139, -11):
        return "It crashed in native code (segmentation fault), often a library of the wrong version.\n"
    return ""


# --- records ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One number that was measured. `how` adds to the method of its call what holds for this one alone."""

    name: str
    value: float
    unit: str
    samples: int
    how: str = ""


@dataclass(frozen=True)
class Kept:
    """The evidence a claim may cite, and where the raw figures are, relative to the run's directory."""

    evidence: list[Measurement]
    raw: str

    def data(self, inside: Inside) -> dict[str, Any]:
        return {
            "measurements": [one.model_dump(mode="json") for one in self.evidence],
            "record": self.raw,
            "level": inside.level,
            "changed": inside.changes.paths,
        }

    def lines(self) -> list[str]:
        """The figures for a reader, in columns."""
        width = max(len(one.name) for one in self.evidence)
        return [f"  {one.name:{width}}  {shown(one.value)} {one.unit}  (n={one.samples})" for one in self.evidence]


def shown(value: float) -> str:
    """Four significant digits; whole numbers from 1,000 on. Claims may round as they like."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def company(result: dict[str, Any]) -> str:
    """The machine's other work, as part of the method: a time measured on a busy machine is another one."""
    return f"other processes kept {result['other_cores']:.1f} of {result['cores']} cores busy meanwhile"


def neighbours(result: dict[str, Any]) -> list[str]:
    """What to say of a machine that had other work to do meanwhile."""
    if result["other_cores"] < _NEIGHBOURS * result["cores"]:
        return []
    busy = company(result)
    return [f"{busy[:1].upper()}{busy[1:]}: times are too long; repeat it on a quiet machine before relying on them."]


def keep(context: Context, tool: str, method: str, figures: list[Figure], raw: dict[str, Any]) -> Kept:
    """Writes the records of one call and gives the evidence."""
    run_dir = context.spills.directory.parent
    folder = _new_folder(run_dir / "measurements", tool)
    place = folder.relative_to(run_dir)
    write_atomic(folder / "raw.json", json.dumps(raw, indent=1).encode())
    evidence = []
    for number, figure in enumerate(figures, 1):
        name = re.sub(r"[^a-z0-9]+", "-", figure.name.lower()).strip("-")[:60]
        one = Measurement(
            name=figure.name,
            value=figure.value,
            unit=figure.unit,
            samples=figure.samples,
            method=f"{method}; {figure.how}" if figure.how else method,
            record=str(place / f"{number:02d}-{name}.json"),
        )
        record = one.model_dump(mode="json", exclude={"kind", "record"}) | {"raw": str(place / "raw.json")}
        write_atomic(run_dir / one.record, json.dumps(record, indent=1).encode())
        evidence.append(one)
    return Kept(evidence, str(place / "raw.json"))


def _new_folder(parent: Path, tool: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = len(list(parent.iterdir()))
    while True:
        number += 1
        folder = parent / f"{number:04d}-{tool}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue  # another call took it
        return folder
