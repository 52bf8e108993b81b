"""What the tools work with: the workspace, what was read, the checkpoints, the running shells.

    async with open_context(root, run_dir, launcher=…) as context:
        result = await invoke("Read", {"file_path": "src/model.py"}, context)

Everything that is kept lies in the run's directory, outside the repository:
`changes.jsonl`, `blobs/` and `trees/` (checkpoints), `outputs/` (full outputs, readable by the tools).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from ml_engineer.tools.checkpoints import Caps, Checkpoints
from ml_engineer.tools.launch import Launcher, PlainLauncher
from ml_engineer.tools.ledger import Ledger
from ml_engineer.tools.shells import Shells
from ml_engineer.tools.truncate import Spills
from ml_engineer.tools.workspace import Workspace


@dataclass
class Context:
    """`step` labels the changes that are made from now on; `network` is what the user allowed for commands."""

    workspace: Workspace
    checkpoints: Checkpoints
    shells: Shells
    spills: Spills
    launcher: Launcher
    ledger: Ledger = field(default_factory=Ledger)
    network: bool = False
    step: str = ""
    told_uncovered: bool = False  # whether the model was told which files are too large for checkpoints


@contextlib.asynccontextmanager
async def open_context(
    root: Path,
    run_dir: Path,
    *,
    launcher: Launcher | None = None,
    network: bool = False,
    caps: Caps | None = None,
    fsync: bool = True,
) -> AsyncIterator[Context]:
    """A context for the repository at `root` and the run in `run_dir`; what is still running at the end is killed.

    `fsync=False` trades safety against power loss for speed; a killed process loses nothing either way.
    Raises JournalError when the run's change journal is damaged, OSError when `root` cannot be opened.
    """
    outputs = run_dir / "outputs"
    outputs.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(root, readable=(outputs,), fsync=fsync)
    try:
        checkpoints = Checkpoints(run_dir, workspace, caps=caps, fsync=fsync)
        spills = Spills(outputs)
        shells = Shells(spills)
        try:
            yield Context(workspace, checkpoints, shells, spills, launcher or PlainLauncher(), network=network)
        finally:
            for identifier in await shells.close():
                checkpoints.finish_command(identifier)
            checkpoints.close()
    finally:
        workspace.close()
