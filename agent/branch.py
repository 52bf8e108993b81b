"""A step's changes on the run's branch: its checks, its commit, and the way back when the checks fail.

    checks = StepChecks("step-05", commands, …)     run by finish_step, and the gate's proof
    await keep(branch, 5, title, body)              one commit, made once, also when the run is killed in the middle
    await take_back(branch, 5)                      the working copy as before the step; the changes as a patch

What is on the branch has passed its checks. A step that failed leaves its patch in the run's directory.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ml_engineer.agent.calls import Call, Gate, Outcome
from ml_engineer.agent.ledger import Ledger, NotBegun
from ml_engineer.agent.log import Record
from ml_engineer.agent.records import Records
from ml_engineer.agent.runs import Run
from ml_engineer.report.schema import CommandRun
from ml_engineer.tools.context import Context
from ml_engineer.tools.git_safe import git_paths, git_text, run_git, safe_git
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.worktree import Worktree, too_large

TIMEOUT_MS = 600_000  # of one check
NOT_RUN = 126  # what a shell gives for a command that cannot be executed
_CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".hypothesis"})


@dataclass(frozen=True)
class Branch:
    """The run's branch and what works on it."""

    worktree: Worktree
    run: Run
    ledger: Ledger

    def changed(self) -> frozenset[str]:
        """Files of the target's counterpart that differ from the last commit, relative to it. Caches don't count."""
        runner = safe_git(self.worktree.git_dir, self.worktree.tree)
        names = git_paths(runner, "diff", "--name-only", "-z", "--no-ext-diff", "HEAD")
        names += git_paths(runner, "ls-files", "--others", "--exclude-standard", "-z")
        below = self.worktree.folder.relative_to(self.worktree.tree)
        paths = [PurePosixPath(name) for name in names if not _CACHES & set(PurePosixPath(name).parts)]
        return frozenset(str(path.relative_to(below)) for path in paths if path.is_relative_to(below))

    async def keep(self, step: int, title: str, body: str) -> Record:
        """Commit the step's changes: {"sha", "files"}, `sha` None where there are none."""

        async def act() -> Record:
            self._sweep()
            commit = self.worktree.commit(step, title, body)
            return {"sha": commit.sha, "files": list(commit.files)}

        async def settle(intent: Record) -> Record | None:
            self._unlock()
            runner = safe_git(self.worktree.git_dir, self.worktree.tree)
            if git_text(runner, "rev-parse", "HEAD") == intent["head"]:
                raise NotBegun
            names = git_paths(runner, "diff", "--name-only", "-z", "--no-ext-diff", intent["head"], "HEAD")
            return {"sha": git_text(runner, "rev-parse", "HEAD"), "files": names}

        head = git_text(safe_git(self.worktree.git_dir, self.worktree.tree), "rev-parse", "HEAD")
        return await self.ledger.once(f"commit/{step}", {"head": head}, act, settle)

    async def take_back(self, step: int) -> None:
        """Put the working copy back to the last commit, after the changes were kept as a patch in the run."""

        async def act() -> Record:
            self._sweep()
            runner = safe_git(self.worktree.git_dir, self.worktree.tree)
            run_git(runner, "add", "--all")
            patch = run_git(runner, "diff", "--cached", "--binary", "--no-ext-diff", "--no-color", "HEAD")
            if patch or self.run.read(rejected_name(step)) is None:
                self.run.write(rejected_name(step), patch)
            run_git(runner, "reset", "--hard", "--quiet", "HEAD")
            run_git(runner, "clean", "-fdq")
            return {}

        async def settle(intent: Record) -> Record | None:
            self._unlock()
            raise NotBegun  # doing it again comes to the same

        await self.ledger.once(f"take-back/{step}", {}, act, settle)

    def tidy(self) -> None:
        """Put the working copy back to what is committed, but for files that commits leave out for their size: they
        may have taken a training to make."""
        self._unlock()
        runner = safe_git(self.worktree.git_dir, self.worktree.tree)
        run_git(runner, "reset", "--hard", "--quiet", "HEAD")
        for name in git_paths(runner, "ls-files", "--others", "--exclude-standard", "-z"):
            path = self.worktree.tree / name
            if name.endswith("/"):
                shutil.rmtree(path)
            elif not too_large(path):
                path.unlink()

    def _sweep(self) -> None:
        """Remove what commands leave behind and nobody wants in a commit, where git does not track it."""
        runner = safe_git(self.worktree.git_dir, self.worktree.tree)
        for name in git_paths(runner, "ls-files", "--others", "--exclude-standard", "-z"):
            parts = PurePosixPath(name).parts
            at = next((number for number, part in enumerate(parts) if part in _CACHES), None)
            if at is not None:
                shutil.rmtree(self.worktree.tree.joinpath(*parts[: at + 1]), ignore_errors=True)

    def _unlock(self) -> None:
        """Remove git's locks on what is ours alone: a killed git leaves them, and this run's lock is held here."""
        for name in ("index.lock", "HEAD.lock"):
            (self.worktree.git_dir / name).unlink(missing_ok=True)
        common = self.worktree.target_git_dir or self.worktree.git_dir
        for folder in (common, common.parent.parent):  # the repository's own, also where the target is a worktree
            (folder / "refs" / "heads" / f"{self.worktree.branch}.lock").unlink(missing_ok=True)


def rejected_name(step: int) -> str:
    """Artefact with the changes of a step that failed."""
    return f"step-{step:02d}.rejected.patch"


@dataclass(frozen=True)
class Commands:
    """Agreed commands, run once each for a place in the work, and recorded."""

    agent: str
    context: Context
    gate: Gate
    ledger: Ledger
    folder: Path

    async def run(self, commands: list[str], key: str) -> list[CommandRun]:
        """Run them in order, the rest also after a failure."""
        return [await self._run(command, f"{key}/check/{number}") for number, command in enumerate(commands)]

    async def _run(self, command: str, key: str) -> CommandRun:
        call = Call(key, "Bash", {"command": command, "timeout": TIMEOUT_MS}, key)

        async def act() -> Record:
            outcome = await self._attempt(call)
            Records(self.folder).keep(self.agent, call, outcome)
            return {}

        async def settle(intent: Record) -> Record | None:
            raise NotBegun  # a check may be run again: it decides, and changes nothing that matters

        await self.ledger.once(key, {"check": command}, act, settle)
        found = Records(self.folder).command_at(self.agent, key)
        assert found is not None, "a command that was run has a record"
        return found

    async def _attempt(self, call: Call) -> Outcome:
        """The outcome with an exit code in any case: 126 where the command could not be started."""
        refusal = await self.gate.refuses(call)
        if refusal is not None:
            return _not_run(call, refusal)
        result = await invoke("Bash", call.input, self.context)
        if "exit_code" not in result.data:
            return _not_run(call, result.text)
        data: dict[str, Any] = dict(result.data)
        if data["timed_out"] and data["exit_code"] in (0, None):
            data["exit_code"] = 124  # as `timeout` gives
        return Outcome(result.text, data, result.is_error)


def _not_run(call: Call, why: str) -> Outcome:
    data = {"command": call.input["command"], "exit_code": NOT_RUN, "timed_out": False, "output": why, "level": "none"}
    return Outcome(why, data, is_error=True)


@dataclass(frozen=True)
class StepChecks:
    """The checks of one step, behind the seam of `agent.finish`."""

    commands: list[str]
    runner: Commands
    branch: Branch

    async def run(self, key: str) -> list[CommandRun]:
        return await self.runner.run(self.commands, key)

    def changed(self) -> frozenset[str]:
        return self.branch.changed()
