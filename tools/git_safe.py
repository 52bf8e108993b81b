"""Git, run so that the repository it works on cannot make it run anything.

    safe_git(git_dir, work_tree) -> git.Git        # GitPython's command object with a fixed environment

A repository's configuration may name programs: hooks, a file-system monitor, filters, diff drivers, signing, an editor,
credential helpers. All are overridden by the environment, filters by name, so that the words of the configuration are
read and never carried out. No command here reaches a network. The user's own index is left alone by giving commands
another one in GIT_INDEX_FILE.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # a machine without git fails when git is used, not on import

import git

AUTHOR = {"NAME": "ml-engineer", "EMAIL": "ml-engineer@localhost"}

_FIXED = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.editor": "true",
    "core.sshCommand": "false",
    "core.askPass": "false",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
}
# Set by whoever started us, these would send git to other objects than those of the repository that was named.
_REDIRECTING = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_INDEX_FILE")


class GitError(Exception):
    """Git could not do it; the message is for the user and says why."""


def safe_git(git_dir: Path, work_tree: Path, *, index: Path | None = None) -> git.Git:
    """Git on `git_dir` with its files in `work_tree`; `index` instead of the repository's own."""
    set_anyway = [name for name in _REDIRECTING if os.environ.get(name)]
    if set_anyway:
        raise GitError(f"unset {', '.join(set_anyway)}: with it git would work on another repository")
    runner = git.Git(str(work_tree))
    environment = {
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(work_tree),
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_NAMESPACE": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
    }
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_{part}": value for part, value in AUTHOR.items()}
    runner.update_environment(**environment, **_config(_FIXED))
    filters = _filters(runner)
    runner.update_environment(**_config(_FIXED | filters))
    return runner


def run_git(runner: git.Git, *arguments: str, stdin: bytes | None = None) -> bytes:
    """What git prints. Raises GitError with git's own words."""
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin or b"")
            given.seek(0)
            output = runner.execute(
                ["git", *arguments], istream=given, strip_newline_in_stdout=False, stdout_as_string=False
            )
    except git.GitCommandNotFound:
        raise GitError("git is not installed; install it, for example with `apt install git`") from None
    except git.GitCommandError as error:
        words = error.stderr.partition("stderr: ")[2] or error.stdout.partition("stdout: ")[2] or str(error)
        raise GitError(f"git {arguments[0]}: {words.strip().strip(chr(39))}") from None
    assert isinstance(output, bytes)
    return output


def git_text(runner: git.Git, *arguments: str) -> str:
    """What git prints, as one stripped text."""
    return run_git(runner, *arguments).decode("utf-8", errors="surrogateescape").strip()


def git_paths(runner: git.Git, *arguments: str) -> list[str]:
    """File names that git prints with `-z`."""
    output = run_git(runner, *arguments).decode("utf-8", errors="surrogateescape")
    return [name for name in output.split("\0") if name]


def _filters(runner: git.Git) -> dict[str, str]:
    """Overrides that make every filter and diff driver of any configuration file do nothing."""
    try:
        names = git_paths(runner, "config", "--name-only", "-z", "--get-regexp", r"^(filter|diff|merge)\..*\.")
    except GitError:
        return {}  # exit code 1: there is none
    overrides: dict[str, str] = {}
    for name in names:
        driver, _, key = name.rpartition(".")
        if re.match(r"filter\.", driver):
            overrides |= {f"{driver}.clean": "", f"{driver}.smudge": "", f"{driver}.process": ""}
            overrides[f"{driver}.required"] = "false"
        elif key == "driver":
            overrides[name] = "false"  # a merge driver that fails is a conflict, which is reported
    return overrides


def _config(values: dict[str, str]) -> dict[str, str]:
    environment = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (key, value) in enumerate(values.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment
