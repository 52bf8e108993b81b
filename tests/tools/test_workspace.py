"""Nothing outside the root can be read or written, by whatever path, and not in a race either."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.tools.base import ToolError
from ml_engineer.tools.workspace import Workspace

SECRET = "outside"


@pytest.fixture
def workspace(root: Path, tmp_path: Path) -> Any:
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "secret.txt").write_text(SECRET)
    (root / "a").mkdir()
    (root / "a" / "f.txt").write_text("inside")
    opened = Workspace(root, readable=(tmp_path / "outputs",), fsync=False)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "path", ["../secret.txt", "a/../../secret.txt", "/etc/passwd", "/", "a/../..", "{tmp}/secret.txt"]
)
def test_paths_that_leave_are_refused(workspace: Workspace, tmp_path: Path, path: str) -> None:
    with pytest.raises(ToolError, match="outside the workspace"):
        workspace.read(path.replace("{tmp}", str(tmp_path)))


@pytest.mark.parametrize(
    "target", ["../secret.txt", "/etc/passwd", "{tmp}/secret.txt", "a/../../secret.txt", "/proc/self/environ"]
)
def test_links_that_leave_are_refused(workspace: Workspace, root: Path, tmp_path: Path, target: str) -> None:
    (root / "link").symlink_to(target.replace("{tmp}", str(tmp_path)))
    with pytest.raises(ToolError, match="leaves the workspace"):
        workspace.read("link")
    with pytest.raises(ToolError, match="leaves the workspace"), workspace.locate("link") as place:
        workspace.replace(place, b"x")


def test_a_folder_link_that_leaves_is_refused(workspace: Workspace, root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path / "outer")
    for call in (lambda: workspace.read("out/secret.txt"), lambda: workspace.list("out")):
        with pytest.raises(ToolError, match="leaves the workspace"):
            call()
    with pytest.raises(ToolError, match="leaves"), workspace.locate("out/new.txt", make_parents=True) as place:
        workspace.replace(place, b"x")
    assert not (tmp_path / "outer" / "new.txt").exists()


def test_links_inside_are_walked(workspace: Workspace, root: Path) -> None:
    (root / "b").symlink_to("a")
    (root / "a" / "up").symlink_to("../a/f.txt")
    (root / "absolute").symlink_to(root / "a")
    for path in ("b/f.txt", "a/up", "absolute/f.txt", f"{root}/b/f.txt"):
        assert workspace.read(path) == b"inside"
    with workspace.locate("b/f.txt") as place:
        assert place.path == "a/f.txt"


def test_a_loop_of_links_ends(workspace: Workspace, root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(ToolError, match="loop"):
        workspace.read("x")


@pytest.mark.parametrize("path", [".git/config", ".git/hooks/pre-commit", "sub/.git/config", ".GIT/config", ".git"])
def test_git_folders_are_not_written(tools: Any, root: Path, path: str) -> None:
    (root / ".git" / "hooks").mkdir(parents=True)
    assert "git's own folder" in tools.no("Write", file_path=path, content="[core]\n\tfsmonitor = touch x\n")
    assert list((root / ".git").rglob("*")) == [root / ".git" / "hooks"]
    assert not (root / "sub").exists()


def test_a_link_into_git_is_not_written(tools: Any, root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("[core]\n")
    (root / "innocent").symlink_to(".git/config")
    tools.ok("Read", file_path="innocent")
    assert "git's own folder" in tools.no("Edit", file_path="innocent", old_string="core", new_string="x")
    assert (root / ".git" / "config").read_text() == "[core]\n"


def test_what_is_no_regular_file_is_refused_without_waiting(workspace: Workspace, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(ToolError, match="named pipe"):
        workspace.read("pipe")
    with pytest.raises(ToolError, match="named pipe"), workspace.locate("pipe") as place:
        workspace.replace(place, b"x")


def test_a_hard_link_outside_keeps_its_content(tools: Any, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("1\n")
    os.link(tmp_path / "outside.txt", root / "inside.txt")
    tools.ok("Read", file_path="inside.txt")
    tools.ok("Edit", file_path="inside.txt", old_string="1", new_string="2")
    assert (tmp_path / "outside.txt").read_text() == "1\n"


def test_swapping_a_folder_for_a_link_never_leads_outside(workspace: Workspace, root: Path, tmp_path: Path) -> None:
    (root / "a" / "secret.txt").write_text("inside")
    (root / "trap").symlink_to(tmp_path / "outer")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / "a").rename(root / "parked")
            (root / "trap").rename(root / "a")
            (root / "a").rename(root / "trap")
            (root / "parked").rename(root / "a")

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes = set()
    try:
        for _ in range(1_500):
            try:
                outcomes.add(workspace.read("a/secret.txt").decode())
                with workspace.locate("a/written.txt") as place:
                    workspace.replace(place, b"x")
            except (ToolError, FileNotFoundError):
                outcomes.add("refused")
    finally:
        stop.set()
        swapper.join()
    assert outcomes == {"inside", "refused"}
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["secret.txt"]


def test_outputs_of_the_run_can_be_read_and_not_written(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "bash-0001.txt").write_text("all of it")
    path = str(tmp_path / "outputs" / "bash-0001.txt")
    assert workspace.read(path) == b"all of it"
    with workspace.locate(path) as place, pytest.raises(ToolError, match="only be read"):
        workspace.replace(place, b"x")


PART = st.sampled_from(["a", "..", ".", "f.txt", "loop", "out", "up", "", "nope", "b"])


@settings(max_examples=300)
@given(st.lists(PART, max_size=7).map("/".join), st.booleans())
def test_no_path_of_any_shape_reaches_the_secret(
    tmp_path_factory: pytest.TempPathFactory, path: str, absolute: bool
) -> None:
    top = _tree(tmp_path_factory)
    workspace = Workspace(top / "repo", fsync=False)
    try:
        data = workspace.read(f"{top}/repo/{path}" if absolute else path)
    except ToolError:
        return
    finally:
        workspace.close()
    assert data == b"inside"


_TREES: list[Path] = []


def _tree(factory: pytest.TempPathFactory) -> Path:
    """One tree for all examples: nothing in it is changed by them."""
    if not _TREES:
        top = factory.mktemp("walk")
        (top / "f.txt").write_text(SECRET)
        repo = top / "repo"
        (repo / "a" / "b").mkdir(parents=True)
        for folder in (repo, repo / "a", repo / "a" / "b"):
            (folder / "f.txt").write_text("inside")
        (repo / "loop").symlink_to("loop")
        (repo / "a" / "out").symlink_to("../..")
        (repo / "a" / "up").symlink_to("..")
        _TREES.append(top)
    return _TREES[0]
