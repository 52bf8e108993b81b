"""What is offered while one types: `/command` at the beginning of the line, `@path` anywhere in it.

Paths are those that git knows or would add, else those that a walk finds; they are listed once, in a thread, and again
when a turn may have changed them. A path matches when its characters come in this order, file names before folders.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from ml_engineer.interfaces.terminal.panels import clip
from ml_engineer.report.visible import visible

_MOST = 50
_MOST_FILES = 50_000
_AT = re.compile(r"(?:^|\s)@([^\s@]*)$")
_SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv", ".tox", ".mypy_cache", ".ruff_cache"})


class Paths:
    """The repository's files, relative to its root, which may change: then they are listed anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: list[str] = []
        self._thread: threading.Thread | None = None

    def refresh(self) -> None:
        """List them anew, in a thread."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._list, name="paths", daemon=True)
            self._thread.start()

    def _list(self) -> None:
        self._files = sorted(self._git() or self._walk())

    def _git(self) -> list[str]:
        """What git knows and does not ignore, where the root is a working tree of its own."""
        if not (self.root / ".git").is_dir():
            return []
        from ml_engineer.tools.git_safe import GitError, git_paths, safe_git

        try:
            runner = safe_git(self.root / ".git", self.root)
            return git_paths(runner, "ls-files", "-z", "--cached", "--others", "--exclude-standard")[:_MOST_FILES]
        except GitError:
            return []

    def _walk(self) -> list[str]:
        found: list[str] = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in _SKIPPED]
            inside = Path(folder).relative_to(self.root)
            found += [(inside / name).as_posix() for name in files]
            if len(found) > _MOST_FILES:
                break
        return found[:_MOST_FILES]

    def matching(self, letters: str) -> list[str]:
        """The best matches, best first."""
        pattern = re.compile(".*?".join(map(re.escape, letters)), re.IGNORECASE)
        ranked = []
        for path in self._files:
            name = path.rpartition("/")[2]
            in_name, anywhere = pattern.search(name), pattern.search(path)
            if in_name is not None:
                ranked.append((0, in_name.end() - in_name.start(), len(path), path))
            elif anywhere is not None:
                ranked.append((1, anywhere.end() - anywhere.start(), len(path), path))
        return [path for *_, path in sorted(ranked)[:_MOST]]


class ChatCompleter(Completer):
    """`commands` gives the names (without the slash) and what each does."""

    def __init__(self, commands: Callable[[], Sequence[tuple[str, str]]], paths: Paths) -> None:
        self._commands, self._paths = commands, paths

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        if before.startswith("/") and " " not in before and "\n" not in before:
            for name, meaning in self._commands():
                if name.startswith(before[1:]):
                    yield Completion(f"/{name}", -len(before), display_meta=clip(meaning, 60))
            return
        if at := _AT.search(before):
            for path in self._paths.matching(at[1]):
                yield Completion(path, -len(at[1]), display=visible(path))


def offers(document: Document) -> bool:
    """Whether there may be anything to offer here: the menu does not open while one writes prose."""
    before = document.text_before_cursor
    return (before.startswith("/") and " " not in before) or _AT.search(before) is not None
