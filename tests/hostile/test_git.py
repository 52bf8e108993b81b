"""Hostile and unusual repositories: facts or a note, and nothing of their configuration is ever run."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.assessment import git as facts
from ml_engineer.assessment.assess import assess
from ml_engineer.report.schema import Report
from tests.hostile.conftest import FAULT, Result, findings_at, skipped, survives

Git = Callable[..., str]
Run = Callable[..., Result]
HOOKS = "pre-commit post-checkout post-index-change reference-transaction fsmonitor-watchman pre-auto-gc query-watchman"

CONFIG = """\
[core]
\tfsmonitor = @fsmonitor
\tpager = @pager
\teditor = @editor
\tsshCommand = @ssh
\tgitProxy = @proxy
\tasKPass = @askpass
\talternateRefsCommand = @alternates
\thooksPath = @@
[pager]
\tls-files = @pager-ls
\tdiff-index = @pager-diff
[alias]
\tls-files = !@alias-ls
\trev-parse = !@alias-rev
\tdiff-index = !@alias-diff
\tconfig = !@alias-config
[filter "x"]
\tclean = @clean
\tsmudge = @smudge
\tprocess = @process
\trequired = true
[diff]
\texternal = @external
[diff "x"]
\ttextconv = @textconv
\tcommand = @command
[merge "x"]
\tdriver = @merge
[credential]
\thelper = !@credential
[gpg]
\tprogram = @gpg
[uploadpack]
\tpackObjectsHook = @pack
[remote "origin"]
\turl = .
\tuploadpack = @uploadpack
\tpromisor = true
\tpartialclonefilter = blob:none
[protocol]
\tallow = always
[extensions]
\tpartialClone = origin
"""


@pytest.fixture
def repository(target: Path, git: Git) -> Path:
    """The target, committed."""
    git(target, "init", "-q")
    git(target, "add", "-A")
    git(target, "commit", "-qm", "first")
    return target


def canary_of(target: Path) -> Path:
    return target.parent / "canaries"


def arm(root: Path) -> Path:
    """Make everything in the repository's configuration that names a program leave a trace. The traces' folder."""
    canaries = canary_of(root)
    canaries.mkdir()
    hooks = root.parent / "hooks"
    hooks.mkdir()
    for name in HOOKS.split():
        for folder in (hooks, root / ".git" / "hooks"):
            hook = folder / name
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(f"#!/bin/sh\ntouch {canaries}/hook-{name}\n")
            hook.chmod(0o755)
    config = root / ".git" / "config"
    text = config.read_text().replace("repositoryformatversion = 0", "repositoryformatversion = 1")
    config.write_text(text + CONFIG.replace("@@", str(hooks)).replace("@", f"touch {canaries}/"))
    (root / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
    return canaries


def test_the_traps_work_at_all(repository: Path, git: Git) -> None:
    canaries = arm(repository)
    (repository / "app.py").write_text("x = 1\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(repository.parent)}
    os.spawnvpe(os.P_WAIT, "git", ["git", "-C", str(repository), "status", "--short"], env)
    assert {path.name for path in canaries.iterdir()} & {"fsmonitor", "clean", "process"}


@pytest.mark.parametrize("objects", ["kept", "gone"])
def test_nothing_of_a_hostile_git_configuration_is_run(repository: Path, git: Git, objects: str) -> None:
    (repository / "staged.py").write_text("x = 1\n")
    git(repository, "add", "staged.py")
    canaries = arm(repository)
    (repository / "app.py").write_text((repository / "app.py").read_text() + "# changed\n")
    if objects == "gone":  # a partial clone would fetch them with the program of its own configuration
        for path in [p for p in (repository / ".git" / "objects").rglob("*") if p.is_file()]:
            path.unlink()
    assessment = survives(repository)
    assert list(canaries.iterdir()) == []
    assert (assessment.repository.revision is not None) == (objects == "kept")


def test_the_index_and_the_folder_are_untouched(repository: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in repository.rglob("*")}
    os.utime(repository / "app.py")  # makes git's own status want to refresh its index
    changed = repository / "app.py"
    survives(repository)
    after = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in repository.rglob("*")}
    assert {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)} == {changed}


def test_a_bare_repository_is_refused_with_what_to_do(run: Run, repository: Path, git: Git, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    result = run("review", tmp_path / "bare.git")
    assert result.returncode == 2
    assert "bare git repository" in result.stderr
    assert "clone it" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_shallow_clone_is_reviewed_and_known_as_such(repository: Path, git: Git, tmp_path: Path) -> None:
    (repository / "b.py").write_text("x = 1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    assert facts.read(tmp_path / "shallow").shallow
    assert survives(tmp_path / "shallow").repository.revision is not None


def test_a_submodule_is_named_and_not_entered(repository: Path, git: Git, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repository), "other")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(tmp_path / "other"), "sub")
    assessment = survives(repository)
    assert "submodule" in skipped(assessment)["sub"]
    assert findings_at(assessment, "sub/app.py") == set()
    shutil.rmtree(repository / "sub")
    (repository / "sub").mkdir()  # as after a clone without its submodules
    survives(repository)


BROKEN = {
    "HEAD of nothing": lambda git: (git / "HEAD").write_text("ref: refs/heads/none\n"),
    "HEAD of garbage": lambda git: (git / "HEAD").write_bytes(b"\x00\xff\n"),
    "no HEAD": lambda git: (git / "HEAD").unlink(),
    "no objects": lambda git: shutil.rmtree(git / "objects"),
    "index of garbage": lambda git: (git / "index").write_bytes(b"DIRC\xff\xff\xff\xff" * 10),
    "no index": lambda git: (git / "index").unlink(),
    "config of garbage": lambda git: (git / "config").write_text("[[[\n\0"),
    "a format of the future": lambda git: (git / "config").write_text("[core]\nrepositoryformatversion = 99\n"),
    "a work tree elsewhere": lambda git: (git / "config").write_text("[core]\n\tworktree = /nowhere\n"),
    "bare by its config": lambda git: (git / "config").write_text("[core]\n\tbare = true\n"),
    "an include of itself": lambda git: (git / "config").write_text("[include]\n\tpath = config\n"),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_git_folder_does_not_hide_the_files(repository: Path, breaks: Callable[[Path], object]) -> None:
    breaks(repository / ".git")
    survives(repository)


@pytest.mark.parametrize("text", ["", "garbage\n", "gitdir: /nowhere\n", "gitdir: .git\n", "gitdir: \x00\n"])
def test_a_broken_git_file_does_not_hide_the_files(target: Path, text: str) -> None:
    (target / ".git").write_text(text)
    survives(target)


def test_what_git_cannot_read_is_said(repository: Path) -> None:
    (repository / ".git" / "config").write_text("[[[\n")
    assert any("git cannot read this repository" in note for note in survives(repository).notes)


def test_without_git_on_the_path_the_review_goes_on_and_says_so(run: Run, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("review", repository, "--format", "json", PATH=str(tmp_path / "empty"))
    assert result.returncode == 0, result.stderr
    report = Report.model_validate_json(result.stdout)
    assert FAULT in {finding.rule for finding in report.findings}
    assert any("git is not installed" in note for note in report.coverage.notes)


def test_a_git_that_hangs_is_given_up(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(facts, "TIMEOUT_SECONDS", 0.2)
    survives(target)


def test_names_that_git_quotes_are_read_as_they_are(repository: Path, git: Git) -> None:
    names = ["a\nb.py", "\x1b[31mred.py", 'qu"ote.py', "back\\slash.py", "tab\t.py", "ünï.py", " blank .py", "-rf.py"]
    for name in names:
        (repository / name).write_text("import pickle\nx = (\n")
    git(repository, "add", "-A")
    assessment = assess(repository)
    for name in names:
        assert "MLE0307" in findings_at(assessment, name)
