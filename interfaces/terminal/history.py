"""What was typed in earlier chats, for the arrow keys: one file in the state directory, readable by its owner only."""

from __future__ import annotations

import contextlib
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

NAME = "chat-history"
_LARGEST = 1 << 20  # bytes; then the older half is dropped


class _Kept(FileHistory):
    """A message is said also where it can be kept no more, as on a full disk: the arrow keys have it in this chat."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


def open_history(home: Path) -> History:
    """The history that is kept in `home`; one in memory where nothing can be kept there."""
    path = home / NAME
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        if path.stat().st_size > _LARGEST:
            kept = path.read_bytes()[-_LARGEST // 2 :]
            path.write_bytes(kept[kept.find(b"\n# ") + 1 :])
    except OSError:
        return InMemoryHistory()
    return _Kept(path)
