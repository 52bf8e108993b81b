"""The folder that is to be reviewed, or why it cannot be. Light, so that a wrong path is answered at once."""

from __future__ import annotations

from pathlib import Path


class TargetError(Exception):
    """The target cannot be reviewed. The message says why, and what to do."""


def open_target(path: Path) -> Path:
    """The folder to review, or `TargetError` with what is wrong and what to do."""
    try:
        root = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = "there is no such folder" if isinstance(error, FileNotFoundError) else str(error)
        raise TargetError(f"{path}: {reason}; give the path of a repository's folder") from error
    if not root.is_dir():
        raise TargetError(f"{path}: this is a file; give the folder of the repository that holds it")
    try:
        names = {entry.name for entry in root.iterdir()}
    except OSError as error:
        raise TargetError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if {"HEAD", "objects", "refs"} <= names and ".git" not in names:
        raise TargetError(f"{path}: this is a bare git repository, it holds no files; clone it and review the clone")
    if not names - {".git"}:
        raise TargetError(f"{path}: the folder is empty: there is nothing to review")
    return root
