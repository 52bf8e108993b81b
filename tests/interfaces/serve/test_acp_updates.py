"""What an editor is shown of a call before anybody has decided on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.interfaces.serve.acp_updates import diffs


@pytest.mark.parametrize("path", ["../secret.txt", "{outside}", "link.txt"])
def test_a_file_outside_of_the_repository_is_not_shown_as_what_is_replaced(tmp_path: Path, path: str) -> None:
    root, secret = tmp_path.resolve() / "repository", tmp_path.resolve() / "secret.txt"
    root.mkdir()
    secret.write_text("secret")
    (root / "inside.txt").write_text("old")
    (root / "link.txt").symlink_to(secret)
    call = {"file_path": path.format(outside=secret), "content": "new"}
    (outside,), (inside,) = diffs("Write", call, root), diffs("Write", {**call, "file_path": "inside.txt"}, root)
    assert (outside.old_text, outside.new_text) == (None, "new")
    assert (inside.old_text, inside.new_text) == ("old", "new")
