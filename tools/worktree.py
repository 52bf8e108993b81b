"""Where a run changes files: a working folder of its own, outside the target, with one commit per step.

    open_worktree(target, run_dir, run) -> Worktree     # makes it, or finds it again after a restart
    .folder            where the run works
    .commit(step, …)   one step's changes as a commit with the run's id in a trailer
    .patch()           all that the run changed, as a patch
    .apply()           brings it into the target: fast-forward, merge, or patch; or refuses with the reason
    .discard()         removes the folder and the branch

In a git repository the folder is a git worktree on the branch `ml-engineer/<run>`. Uncommitted work is carried over as
a first commit, made with an index of its own: the user's branch, index and files stay as they are. A folder without git
is copied, and the copy gets a private repository in the run's directory.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import git

from ml_engineer.tools.git_safe import GitError, git_paths, git_text, run_git, safe_git

WORKTREE = "worktree.json"  # in the run's directory: what has to be known to find the working folder again
_FILE_CAP = 50 << 20  # bytes; larger new files stay out of commits: a training run writes models and data sets
_GENERATED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"})
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


class WorktreeError(Exception):
    """It cannot be done; the message says why and what to do. Nothing of the target has been changed."""


@dataclass(frozen=True)
class Commit:
    """One step's commit. `sha` is None when the step changed nothing. `left_out`: new files that were too large."""

    sha: str | None
    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Worktree:
    """A run's working folder. The fields are what has to be known to find it again."""

    run: str
    target: Path  # the folder that the user named
    root: Path  # the top of its repository, or `target` itself without one
    tree: Path  # the top of the working folder
    git_dir: Path  # the git folder of `tree`
    target_git_dir: Path | None  # the git folder of `root`; None without git
    branch: str
    head: str | None  # the commit the user was on; None without one
    base: str  # what the run started from: `head`, or a commit with the uncommitted work on top of it
    left_out: tuple[str, ...] = field(default=())  # files of the target that the run does not see: too large, or nested

    @property
    def folder(self) -> Path:
        """The counterpart of `target`."""
        return self.tree / self.target.relative_to(self.root)

    @property
    def dirty(self) -> bool:
        """The run started from uncommitted work (or from a folder without git)."""
        return self.base != self.head

    def commit(self, step: int, summary: str, body: str = "") -> Commit:
        """All changes in the folder as one commit on the run's branch. Raises WorktreeError."""
        with _git_errors_as_ours():
            runner = safe_git(self.git_dir, self.tree)
            left_out = _stage(runner, self.tree)
            files = tuple(git_paths(runner, "diff", "--cached", "--name-only", "-z", "--no-ext-diff"))
            if not files:
                return Commit(None, left_out=left_out)
            title = " ".join(summary.split()) or f"Step {step}"
            message = "\n\n".join(filter(None, [title, body.strip(), f"ML-Engineer-Step: {step}\n{self._trailer}"]))
            run_git(
                runner, "commit", "--no-verify", "--quiet", "--cleanup=whitespace", "-F", "-", stdin=message.encode()
            )
            return Commit(git_text(runner, "rev-parse", "HEAD"), files, left_out)

    def patch(self) -> bytes:
        """Everything the run has committed, as `git apply` takes it; empty when it changed nothing."""
        with _git_errors_as_ours():
            return run_git(safe_git(self.git_dir, self.tree), *_DIFF, self.base, self.branch)

    def apply(self) -> str:
        """Brings the run's commits into the target; a sentence that says how. Raises WorktreeError and changes nothing
        when they don't fit."""
        patch = self.patch()
        if not patch:
            return "the run changed nothing"
        with _git_errors_as_ours():
            if self.target_git_dir is None or self.dirty:
                return self._apply_patch(patch)
            runner = safe_git(self.target_git_dir, self.root)
            if git_text(runner, "rev-parse", "HEAD") == self.head:
                run_git(runner, "merge", "--ff-only", "--no-verify", "--quiet", self.branch)
                return f"fast-forwarded to {self.branch}"
            return self._merge(runner)

    def discard(self) -> None:
        """Removes the working folder and the branch. May be repeated. Raises WorktreeError."""
        with _git_errors_as_ours():
            if self.target_git_dir is None:
                shutil.rmtree(self.tree, ignore_errors=True)
                shutil.rmtree(self.git_dir, ignore_errors=True)
                return
            runner = safe_git(self.target_git_dir, self.root)
            shutil.rmtree(self.tree, ignore_errors=True)
            run_git(runner, "worktree", "prune")
            if _exists(runner, self.branch):
                run_git(runner, "branch", "-D", "--quiet", self.branch)

    @property
    def _trailer(self) -> str:
        return f"ML-Engineer-Run: {self.run}"

    def _apply_patch(self, patch: bytes) -> str:
        """Onto the files as they are, which stay uncommitted. Checked first; git applies all of a patch or nothing."""
        runner = safe_git(self.target_git_dir or self.git_dir, self.root)
        try:
            run_git(runner, "apply", "--check", "--whitespace=nowarn", stdin=patch)
        except GitError as error:
            raise WorktreeError(f"the run's changes do not fit the files as they are now: {error}") from None
        run_git(runner, "apply", "--whitespace=nowarn", stdin=patch)
        return "applied to the working files, not committed"

    def _merge(self, runner: git.Git) -> str:
        """The branch has moved on. A conflict is taken back at once."""
        try:
            message = f"Merge {self.branch}\n\n{self._trailer}\n"
            run_git(runner, "merge", "--no-ff", "--no-verify", "--quiet", "-m", message, self.branch)
        except GitError as error:
            conflicts = git_paths(runner, "diff", "--name-only", "--diff-filter=U", "-z", "--no-ext-diff")
            if conflicts:
                run_git(runner, "merge", "--abort")
                raise WorktreeError(f"conflicts in {', '.join(conflicts)}; merge {self.branch} by hand") from None
            raise WorktreeError(str(error)) from None
        return f"merged {self.branch}"


_DIFF = ("diff", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")


def open_worktree(target: Path, run_dir: Path, run: str) -> Worktree:
    """The working folder of `run` for `target`: made in `run_dir`, or found there when it has been made before.

    Raises WorktreeError: a bare repository, a run id that is no branch name, a `run_dir` inside the target, or git's
    own reason.
    """
    if _RUN_ID.fullmatch(run) is None or run.endswith(".lock"):
        raise WorktreeError(f"{run!r} cannot name a branch; a run's id has letters, digits, '-', '_' and single dots")
    target, run_dir = target.resolve(), run_dir.resolve()
    if run_dir.is_relative_to(target):
        raise WorktreeError(f"the run's directory {run_dir} lies inside the target; set ML_ENGINEER_HOME elsewhere")
    run_dir.mkdir(parents=True, exist_ok=True)
    with _git_errors_as_ours():
        known = run_dir / WORKTREE
        worktree = _load(known) if known.exists() else _plan(target, run_dir, run)
        _save(worktree, known)  # before anything is made, so that a run that is cut off here finds the same start
        _make(worktree)
    return worktree


def _plan(target: Path, run_dir: Path, run_id: str) -> Worktree:
    """What the working folder will be. Writes objects into the repository, but no reference and no file."""
    branch, tree = f"ml-engineer/{run_id}", run_dir / "worktree" / run_id  # git names its own folder by the last part
    try:
        repository = git.Repo(target, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return _plan_copy(target, run_dir, run_id)
    with repository:
        if repository.bare or repository.working_tree_dir is None:
            raise WorktreeError(f"{target} is a bare repository, which has no files; clone it and work on the clone")
        root = Path(repository.working_tree_dir).resolve()
        git_dir, common = Path(repository.git_dir).resolve(), Path(repository.common_dir).resolve()
    runner = safe_git(git_dir, root)
    if _exists(runner, branch):
        raise WorktreeError(f"the branch {branch} exists already; choose another run id or discard that run")
    head = git_text(runner, "rev-parse", "HEAD") if _exists(runner, "HEAD") else None
    index = run_dir / "snapshot.index"
    index.unlink(missing_ok=True)
    if (git_dir / "index").exists():
        shutil.copy2(git_dir / "index", index)  # with its times, so that unchanged files need not be read
    base, left_out = _snapshot(safe_git(git_dir, root, index=index), root, head, run_id)
    index.unlink(missing_ok=True)
    return Worktree(run_id, target, root, tree, common / "worktrees" / run_id, git_dir, branch, head, base, left_out)


def _plan_copy(target: Path, run_dir: Path, run_id: str) -> Worktree:
    """A copy with a private repository. Large and generated files are left out."""
    tree, git_dir = run_dir / "worktree" / run_id, run_dir / "worktree.git"
    for unfinished in (tree, git_dir):
        shutil.rmtree(unfinished, ignore_errors=True)
    left_out: list[str] = []

    def ignore(folder: str, names: list[str]) -> list[str]:
        skipped = [name for name in names if name in _GENERATED or too_large(Path(folder, name))]
        left_out.extend(os.path.relpath(Path(folder, name), target) for name in skipped)
        return skipped

    shutil.copytree(target, tree, symlinks=True, ignore=ignore)
    branch = f"ml-engineer/{run_id}"
    run_git(
        git.Git(str(run_dir)), "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", str(git_dir)
    )
    runner = safe_git(git_dir, tree)
    _stage(runner, tree)
    base, _ = _snapshot(runner, tree, None, run_id)
    run_git(runner, "update-ref", f"refs/heads/{branch}", base)
    return Worktree(run_id, target, target, tree, git_dir, None, branch, None, base, tuple(left_out))


def _snapshot(runner: git.Git, root: Path, head: str | None, run_id: str) -> tuple[str, tuple[str, ...]]:
    """A commit of the files as they are, on top of `head`; `head` itself when there is nothing uncommitted."""
    left_out = _stage(runner, root)
    tree = git_text(runner, "write-tree")
    if head is not None and tree == git_text(runner, "rev-parse", f"{head}^{{tree}}"):
        return head, left_out
    parent = ["-p", head] if head is not None else []
    message = f"Uncommitted work at the start of the run\n\nML-Engineer-Run: {run_id}\n"
    return run_git(runner, "commit-tree", tree, *parent, stdin=message.encode()).decode().strip(), left_out


def _stage(runner: git.Git, root: Path) -> tuple[str, ...]:
    """Everything into the index, except new files that are too large and repositories inside this one: their names."""
    run_git(runner, "add", "--update", "--", ".")
    new = git_paths(runner, "ls-files", "--others", "--exclude-standard", "-z")
    left_out = tuple(name for name in new if name.endswith("/") or too_large(root / name))
    wanted = [name for name in new if name not in set(left_out)]
    names = "".join(f"{name}\0" for name in wanted).encode("utf-8", errors="surrogateescape")
    run_git(runner, "update-index", "--add", "-z", "--stdin", stdin=names)
    return left_out


def too_large(path: Path) -> bool:
    """Whether this is a file that no commit takes in when it is new."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size > _FILE_CAP


def _make(worktree: Worktree) -> None:
    """Branch and working folder, as far as they are not there yet."""
    if worktree.target_git_dir is None:
        return
    runner = safe_git(worktree.target_git_dir, worktree.root)
    if not _exists(runner, worktree.branch):
        run_git(runner, "branch", "--no-track", worktree.branch, worktree.base)
    if not worktree.tree.exists():
        run_git(runner, "worktree", "prune")
        run_git(runner, "worktree", "add", "--quiet", str(worktree.tree), worktree.branch)
        _fill_submodules(runner, worktree)
    if not worktree.git_dir.is_dir():
        raise GitError(f"git keeps this working folder elsewhere than in {worktree.git_dir}; choose another run id")


def _fill_submodules(runner: git.Git, worktree: Worktree) -> None:
    """Submodules come as empty folders. Their files are copied, so that code that imports them runs; changes in them
    are not committed."""
    entries = git_paths(runner, "ls-files", "--stage", "-z")
    for name in (entry.partition("\t")[2] for entry in entries if entry.startswith("160000")):
        source = worktree.root / name
        if (source / ".git").exists() and not source.is_symlink():
            ignored = shutil.ignore_patterns(*_GENERATED)
            shutil.copytree(source, worktree.tree / name, symlinks=True, ignore=ignored, dirs_exist_ok=True)


def _exists(runner: git.Git, revision: str) -> bool:
    try:
        run_git(runner, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except GitError:
        return False
    return True


# --- what is kept between two processes -------------------------------------------------------------------------------


def _save(worktree: Worktree, file: Path) -> None:
    values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(worktree).items()}
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as temporary:
        json.dump(values, temporary)
        temporary.flush()
        os.fsync(temporary.fileno())
    Path(temporary.name).replace(file)


def _load(file: Path) -> Worktree:
    values = json.loads(file.read_text(encoding="utf-8"))
    for key in ("target", "root", "tree", "git_dir", "target_git_dir"):
        values[key] = Path(values[key]) if values[key] is not None else None
    return Worktree(**values | {"left_out": tuple(values["left_out"])})


@contextmanager
def _git_errors_as_ours() -> Iterator[None]:
    try:
        yield
    except GitError as error:
        raise WorktreeError(str(error)) from None
