"""Git facts of the target, read without running anything of its configuration.

Only plumbing that starts no hook, filter, pager or monitor is called; `core.fsmonitor` and hooks are overridden on the
command line, which wins over the repository's own configuration. Content is never compared by git, because that could
run a clean filter: whether a tracked file was changed follows from the blob id of its bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_SECONDS = 60
_SAFE = [
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "safe.directory=*",
    "--no-optional-locks",
]


@dataclass
class GitFacts:
    """What git says of the work tree. Everything is None where the root is in no work tree."""

    revision: str | None = None
    paths: list[str] | None = None  # tracked and untracked, without ignored ones
    tracked: dict[str, str] | None = None  # path -> blob id in the index
    staged: bool | None = None  # the index differs from HEAD
    url: str | None = None
    shallow: bool = False
    bare: bool = False
    top: bool = False  # the root is the top of the work tree
    notes: list[str] = field(default_factory=list)


def read(root: Path) -> GitFacts:
    """Facts on the work tree that holds `root`; no facts and a note where git is missing or does not answer."""
    facts = GitFacts()
    if not _may_hold_git(root) and shutil.which("git"):
        return facts
    answer = _git(
        root, "rev-parse", "--is-inside-work-tree", "--is-bare-repository", "--is-shallow-repository", "--show-prefix"
    )
    if answer is None:
        facts.notes.append("git is not installed: history, tracked files and ignored files are unknown")
        return facts
    if answer.returncode != 0:
        if (root / ".git").exists():
            facts.notes.append(f"git cannot read this repository: {_first_line(answer.stderr)}")
        return facts
    inside, bare, shallow, prefix = (os.fsdecode(answer.stdout).split("\n") + [""] * 4)[:4]
    facts.bare = bare == "true"
    if inside != "true":
        return facts
    facts.shallow = shallow == "true"
    facts.top = not prefix
    listed = _git(root, "ls-files", "-z", "-c", "-o", "--exclude-standard", "--deduplicate")
    staged = _git(root, "ls-files", "-z", "-s")
    if listed is None or staged is None or listed.returncode or staged.returncode:
        facts.notes.append("git could not list the files: the folder was walked instead")
        return facts
    facts.tracked = _index(staged.stdout)
    facts.paths = [os.fsdecode(path) for path in listed.stdout.split(b"\0") if path]
    if not facts.tracked and not facts.top:
        # A folder that merely lies below somebody else's work tree (a scratch folder in a checkout).
        return GitFacts(paths=facts.paths or None)
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is not None and head.returncode == 0:
        facts.revision = head.stdout.decode().strip() or None
        diff = _git(
            root, "diff-index", "--cached", "--quiet", "--no-ext-diff", "--ignore-submodules", "HEAD", "--", "."
        )
        facts.staged = None if diff is None else diff.returncode == 1
    url = _git(root, "config", "--get", "remote.origin.url")
    if url is not None and url.returncode == 0:
        facts.url = _without_credentials(os.fsdecode(url.stdout).strip()) or None
    return facts


def _may_hold_git(root: Path) -> bool:
    """Whether git could find a repository from here: saves the start of a process where there is none."""
    place = root.resolve()
    return any((above / ".git").exists() or (above / "HEAD").exists() for above in (place, *place.parents))


def blob_id(data: bytes) -> str:
    """Git's id of a blob with these bytes (SHA-1)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _index(output: bytes) -> dict[str, str]:
    tracked: dict[str, str] = {}
    for entry in output.split(b"\0"):
        meta, _, path = entry.partition(b"\t")
        if path:
            tracked[os.fsdecode(path)] = meta.split()[1].decode()
    return tracked


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    """Run git in `root` with a clean environment; None where there is no git or it hangs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    # A partial clone would fetch what it lacks, by a program that its own configuration names.
    environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
    try:
        return subprocess.run(
            ["git", *_SAFE, "-C", str(root), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _first_line(text: bytes) -> str:
    return os.fsdecode(text).strip().split("\n")[0].removeprefix("fatal: ")


def _without_credentials(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
