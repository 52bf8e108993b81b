"""SIGKILL in the middle of a change leaves the old file or the new one, and the next run clears up behind it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

from ml_engineer.tools.context import open_context
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.workspace import TEMPORARY

ROUNDS = 200
OLD = "version = 'old'\n" + "".join(f"line {n} of the old text\n" for n in range(6_000))
NEW = OLD.replace("old", "brand new")


async def _change_for_ever(root: Path, run_dir: Path, ready: int) -> None:
    """What an agent does, over and over: Read, Edit, Write; says `ready` when the changes begin."""
    async with open_context(root, run_dir, fsync=False) as context:
        await invoke("Read", {"file_path": "f.txt", "limit": 1}, context)
        os.write(ready, b"x")
        while True:
            text = OLD if (root / "f.txt").read_text() == NEW else NEW
            edit = {"file_path": "f.txt", "old_string": OLD if text == NEW else NEW, "new_string": text}
            result = await invoke("Edit", edit, context)
            assert not result.is_error, result.text


def _one_round(root: Path, run_dir: Path, delay: float) -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(_change_for_ever(root, run_dir, write_end))
        finally:
            os._exit(1)  # it must be killed before it gets here
    os.close(write_end)
    assert os.read(read_end, 1) == b"x"
    os.close(read_end)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def test_old_or_new_never_torn(root: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    (root / "f.txt").write_text(OLD)
    (root / "f.txt").chmod(0o640)
    chance = random.Random(7)
    seen = set()
    leftovers = 0
    for _ in range(ROUNDS):
        _one_round(root, run_dir, chance.uniform(0, 0.012))
        content = (root / "f.txt").read_text()
        assert content in (OLD, NEW)
        assert (root / "f.txt").stat().st_mode & 0o777 == 0o640
        seen.add(content)
        leftovers += any(name.name.endswith(TEMPORARY) for name in root.iterdir())
    assert seen == {OLD, NEW}
    assert leftovers, "no kill fell into a write: the delays prove nothing"

    async def clear_up() -> None:
        async with open_context(root, run_dir) as context:
            assert [path.name for path in root.iterdir()] == ["f.txt"]
            context.checkpoints.restore_all()

    asyncio.run(clear_up())
    assert (root / "f.txt").read_text() == OLD
