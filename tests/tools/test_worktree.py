"""The run's working folder: what it holds, what of the user's it leaves alone, how it comes back and how it goes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ml_engineer.tools import worktree as module
from ml_engineer.tools.worktree import Worktree, WorktreeError, open_worktree

RUN = "r1"

# Where a repository's configuration can name a program.
PROGRAMS = (
    ("core", "fsmonitor"),
    ("core", "pager"),
    ("core", "editor"),
    ("core", "sshCommand"),
    ("gpg", "program"),
    ("diff", "external"),
    ('diff "evil"', "command"),
    ('diff "evil"', "textconv"),
    ('filter "evil"', "clean"),
    ('filter "evil"', "smudge"),
    ('merge "evil"', "driver"),
)


def git(folder: Path, *arguments: str) -> str:
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{part}": "user" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit: a.py and sub/b.py."""
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "a.py").write_text("one\ntwo\nthree\n")
    (folder / "sub" / "b.py").write_text("b\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "state" / RUN


def state_of(folder: Path) -> tuple[object, ...]:
    """All that is the user's: branch, index, status and bytes of the files."""
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts}
    head = (folder / ".git" / "HEAD").read_text()
    index = git(folder, "ls-files", "--stage")
    return head, index, git(folder, "status", "--porcelain"), files, git(folder, "stash", "list")


def append(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def branches(folder: Path) -> str:
    return git(folder, "branch", "--list", "--format=%(refname:short)", "ml-engineer/*")


def test_a_clean_run_starts_at_the_users_commit_and_leaves_the_user_alone(repo: Path, run_dir: Path) -> None:
    before = state_of(repo)
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("changed\n")
    commit = tree.commit(4, "Add a training pipeline", "Because there was none.")
    assert state_of(repo) == before
    assert not tree.dirty
    assert commit.files == ("a.py",)
    message = git(repo, "log", "-1", "--format=%B", tree.branch)
    assert message.splitlines()[0] == "Add a training pipeline"
    assert "Because there was none." in message
    assert git(repo, "log", "-1", "--format=%(trailers:key=ML-Engineer-Run,valueonly)", tree.branch).strip() == RUN
    assert git(repo, "log", "-1", "--format=%an", tree.branch) == "ml-engineer"


def test_a_step_without_changes_makes_no_commit(repo: Path, run_dir: Path) -> None:
    tree = open_worktree(repo, run_dir, RUN)
    assert tree.commit(4, "Nothing").sha is None
    assert git(repo, "rev-parse", tree.branch) == git(repo, "rev-parse", "HEAD")


def test_uncommitted_work_is_carried_over_and_stays_uncommitted_for_the_user(repo: Path, run_dir: Path) -> None:
    (repo / "a.py").write_text("one\ntwo\nTHREE\n")
    (repo / "new.py").write_text("new\n")
    (repo / "staged.py").write_text("staged\n")
    git(repo, "add", "staged.py")
    (repo / "sub" / "b.py").unlink()
    before = state_of(repo)
    tree = open_worktree(repo, run_dir, RUN)
    assert state_of(repo) == before
    assert tree.dirty
    assert (tree.folder / "a.py").read_text() == "one\ntwo\nTHREE\n"
    assert (tree.folder / "new.py").read_text() == "new\n"
    assert (tree.folder / "staged.py").exists()
    assert not (tree.folder / "sub" / "b.py").exists()

    (tree.folder / "a.py").write_text("ONE\ntwo\nTHREE\n")
    tree.commit(3, "Edit")
    head = git(repo, "rev-parse", "HEAD")
    assert "not committed" in tree.apply()
    assert git(repo, "rev-parse", "HEAD") == head
    assert (repo / "a.py").read_text() == "ONE\ntwo\nTHREE\n"
    assert (repo / "new.py").read_text() == "new\n"


def test_ignored_files_are_not_carried_over(repo: Path, run_dir: Path) -> None:
    (repo / ".gitignore").write_text("secret\n")
    (repo / "secret").write_text("x")
    tree = open_worktree(repo, run_dir, RUN)
    assert not (tree.folder / "secret").exists()


def test_files_over_the_cap_stay_out_and_are_named(repo: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FILE_CAP", 100)
    (repo / "data.bin").write_bytes(b"x" * 101)
    tree = open_worktree(repo, run_dir, RUN)
    assert tree.left_out == ("data.bin",)
    (tree.folder / "model.pt").write_bytes(b"x" * 101)
    (tree.folder / "ok.py").write_text("ok")
    commit = tree.commit(4, "Train")
    assert commit.left_out == ("model.pt",)
    assert commit.files == ("ok.py",)


def test_a_detached_head_stays_detached(repo: Path, run_dir: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "c.py").write_text("c")
    tree.commit(3, "Add c")
    assert "fast-forwarded" in tree.apply()
    assert git(repo, "rev-parse", "HEAD") == git(repo, "rev-parse", tree.branch)
    assert git(repo, "branch", "--show-current") == ""


def test_a_repository_without_commits(tmp_path: Path, run_dir: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("x = 1\n")
    tree = open_worktree(folder, run_dir, RUN)
    (tree.folder / "train.py").write_text("x = 2\n")
    tree.commit(3, "Edit")
    tree.apply()
    assert (folder / "train.py").read_text() == "x = 2\n"
    assert git(folder, "status", "--porcelain") == "?? train.py"


def test_a_subfolder_of_a_repository_as_target(repo: Path, run_dir: Path) -> None:
    tree = open_worktree(repo / "sub", run_dir, RUN)
    assert (tree.folder / "b.py").exists()
    assert tree.folder.name == "sub"


def test_submodules_have_their_files(repo: Path, tmp_path: Path, run_dir: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "lib.py").write_text("lib")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "lib")
    git(repo, "submodule", "--quiet", "add", str(other), "vendor")
    git(repo, "commit", "-qm", "submodule")
    tree = open_worktree(repo, run_dir, RUN)
    assert (tree.folder / "vendor" / "lib.py").read_text() == "lib"
    (tree.folder / "a.py").write_text("changed")
    assert tree.commit(3, "Edit").files == ("a.py",)


def test_large_file_pointers_stay_pointers(repo: Path, run_dir: Path, tmp_path: Path) -> None:
    """The filter is one that would leave a trace and change the bytes."""
    trace = tmp_path / "trace"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    (repo / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    (repo / "m.bin").write_text(pointer)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "pointer")
    for kind in ("clean", "smudge"):
        git(repo, "config", f"filter.lfs.{kind}", f"touch {trace}; cat; echo real")
    git(repo, "config", "filter.lfs.required", "true")
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("changed")
    tree.commit(3, "Edit")
    assert (tree.folder / "m.bin").read_text() == pointer
    assert not trace.exists()


def test_the_repositorys_hooks_and_programs_never_run(repo: Path, run_dir: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {trace}\ncat\n")
    program.chmod(0o755)
    hooks = repo / ".git" / "hooks"
    for name in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "post-merge", "reference-transaction",
                 "prepare-commit-msg", "pre-merge-commit", "post-index-change"):  # fmt: skip
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    sections = "".join(f"[{section}]\n\t{key} = {program}\n" for section, key in PROGRAMS)
    append(repo / ".git" / "config", sections + "[commit]\n\tgpgSign = true\n")
    (repo / ".gitattributes").write_text("*.py filter=evil diff=evil merge=evil\n")
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("changed\n")
    assert tree.commit(3, "Edit").sha
    tree.apply()
    tree.discard()
    assert (repo / "a.py").read_text() == "changed\n"
    assert not trace.exists()


def test_a_git_folder_put_into_the_working_folder_is_not_obeyed(repo: Path, run_dir: Path, tmp_path: Path) -> None:
    tree = open_worktree(repo, run_dir, RUN)
    trace = tmp_path / "trace"
    (tree.folder / ".git").unlink()
    git(tree.folder, "init", "-q")
    append(tree.folder / ".git" / "config", f"[core]\n\tfsmonitor = touch {trace}\n")
    (tree.folder / "a.py").write_text("changed\n")
    assert tree.commit(3, "Edit").files == ("a.py",)
    assert git(repo, "show", f"{tree.branch}:a.py") == "changed"
    assert not trace.exists()


def test_a_bare_repository_is_refused_with_advice(tmp_path: Path, run_dir: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    git(bare, "init", "-q", "--bare")
    with pytest.raises(WorktreeError, match=r"bare repository.*clone it"):
        open_worktree(bare, run_dir, RUN)


@pytest.mark.parametrize("run", ["", "a b", "../x", "-x", "a..b", "x.lock", "a/b"])
def test_run_ids_that_name_no_branch_are_refused(repo: Path, run_dir: Path, run: str) -> None:
    with pytest.raises(WorktreeError, match="cannot name a branch"):
        open_worktree(repo, run_dir, run)


def test_a_run_directory_inside_the_target_is_refused(repo: Path) -> None:
    with pytest.raises(WorktreeError, match="ML_ENGINEER_HOME"):
        open_worktree(repo, repo / "state", RUN)
    assert not (repo / "state").exists()


def test_an_existing_branch_is_refused(repo: Path, run_dir: Path) -> None:
    git(repo, "branch", f"ml-engineer/{RUN}")
    with pytest.raises(WorktreeError, match="exists already"):
        open_worktree(repo, run_dir, RUN)


def test_opened_again_it_is_the_same_and_nothing_is_done_twice(repo: Path, run_dir: Path) -> None:
    (repo / "a.py").write_text("dirty\n")
    first = open_worktree(repo, run_dir, RUN)
    (first.folder / "a.py").write_text("work\n")
    first.commit(3, "Work")
    again = open_worktree(repo, run_dir, RUN)
    assert again == first
    assert (again.folder / "a.py").read_text() == "work\n"
    assert git(repo, "rev-list", "--count", f"{again.base}..{again.branch}") == "1"


def test_cut_off_before_anything_was_made_it_is_finished_later(
    repo: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(worktree: Worktree) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_make", killed)
        with pytest.raises(KeyboardInterrupt):
            open_worktree(repo, run_dir, RUN)
    assert (open_worktree(repo, run_dir, RUN).folder / "a.py").exists()


def test_applied_over_new_commits_it_is_merged(repo: Path, run_dir: Path) -> None:
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("ONE\ntwo\nthree\n")
    tree.commit(3, "Edit")
    (repo / "other.py").write_text("other")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "other")
    assert "merged" in tree.apply()
    assert (repo / "a.py").read_text() == "ONE\ntwo\nthree\n"
    assert (repo / "other.py").exists()
    assert git(repo, "status", "--porcelain") == ""


def test_a_conflict_is_refused_and_leaves_nothing_behind(repo: Path, run_dir: Path) -> None:
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("run\n")
    tree.commit(3, "Edit")
    (repo / "a.py").write_text("user\n")
    git(repo, "commit", "-qam", "user")
    before = state_of(repo)
    with pytest.raises(WorktreeError, match=r"conflicts in a\.py"):
        tree.apply()
    assert state_of(repo) == before
    assert not (repo / ".git" / "MERGE_HEAD").exists()


def test_local_changes_in_the_way_are_refused_and_kept(repo: Path, run_dir: Path) -> None:
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("run\n")
    (tree.folder / "z.py").write_text("z\n")
    tree.commit(3, "Edit")
    (repo / "a.py").write_text("user\n")
    before = state_of(repo)
    with pytest.raises(WorktreeError, match=r"a\.py"):
        tree.apply()
    assert state_of(repo) == before


def test_a_patch_that_does_not_fit_is_refused_whole(repo: Path, run_dir: Path) -> None:
    (repo / "a.py").write_text("dirty\n")
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("run\n")
    (tree.folder / "sub" / "b.py").write_text("run\n")
    tree.commit(3, "Edit")
    (repo / "a.py").write_text("dirtier\n")
    before = state_of(repo)
    with pytest.raises(WorktreeError, match="do not fit"):
        tree.apply()
    assert state_of(repo) == before


def test_discard_removes_folder_and_branch_and_may_be_repeated(repo: Path, run_dir: Path) -> None:
    before = state_of(repo)
    tree = open_worktree(repo, run_dir, RUN)
    (tree.folder / "a.py").write_text("run\n")
    tree.commit(3, "Edit")
    tree.discard()
    tree.discard()
    assert not tree.tree.exists()
    assert branches(repo) == ""
    assert git(repo, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert state_of(repo) == before


def test_a_folder_without_git_is_copied_and_patched(tmp_path: Path, run_dir: Path) -> None:
    folder = tmp_path / "plain"
    (folder / ".venv").mkdir(parents=True)
    (folder / ".venv" / "x").write_text("x")
    (folder / "train.py").write_bytes(b"a\r\nb\xff\r\n")
    tree = open_worktree(folder, run_dir, RUN)
    assert not (tree.folder / ".venv").exists()
    (tree.folder / "train.py").write_bytes(b"a\r\nB\xff\r\n")
    (tree.folder / "new.bin").write_bytes(bytes(range(256)))
    commit = tree.commit(3, "Edit")
    assert commit.files == ("new.bin", "train.py")
    assert (folder / "train.py").read_bytes() == b"a\r\nb\xff\r\n"
    assert b"GIT binary patch" in tree.patch()
    tree.apply()
    assert (folder / "train.py").read_bytes() == b"a\r\nB\xff\r\n"
    assert (folder / "new.bin").read_bytes() == bytes(range(256))
    assert not (folder / ".git").exists()
    tree.discard()
    assert not tree.tree.exists()
    assert not tree.git_dir.exists()


def test_a_run_that_changed_nothing_applies_to_nothing(repo: Path, run_dir: Path) -> None:
    before = state_of(repo)
    assert open_worktree(repo, run_dir, RUN).apply() == "the run changed nothing"
    assert state_of(repo) == before


def test_environment_that_points_git_elsewhere_is_refused(
    repo: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other"))
    with pytest.raises(WorktreeError, match="unset GIT_INDEX_FILE"):
        open_worktree(repo, run_dir, RUN)
