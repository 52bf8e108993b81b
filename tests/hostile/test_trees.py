"""Folders that are hostile by their shape: what cannot be looked at is named, what can be is reviewed."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.assessment import files
from ml_engineer.report.schema import Report
from tests.hostile.conftest import FAULT, FAULTY_APP, Result, findings_at, skipped, survives

Run = Callable[..., Result]


def refused(result: Result) -> str:
    """The message of a review that was not begun."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_path_that_cannot_be_reviewed_is_said_with_what_to_do(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("x = 1\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "only_git" / ".git").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    assert "there is no such folder" in refused(run("review", tmp_path / "none"))
    assert "this is a file" in refused(run("review", tmp_path / "file.py"))
    assert "empty" in refused(run("review", tmp_path / "empty"))
    assert "empty" in refused(run("review", tmp_path / "only_git"))
    assert "loop" in refused(run("review", tmp_path / "loop"))
    assert "name too long" in refused(run("review", tmp_path / ("a" * 5_000))).lower()


@pytest.mark.skipif(os.geteuid() == 0, reason="file modes do not count for root: see the test below")
def test_an_unreadable_folder_is_said(run: Run, target: Path) -> None:
    target.chmod(0)
    assert "check its permissions" in refused(run("review", target))


AS_NOBODY = """\
import os, sys
from pathlib import Path
from ml_engineer.assessment.assess import assess
from ml_engineer.assessment.target import TargetError, open_target
root = Path(sys.argv[1])
assess(root)  # imports everything: another user may not be able to read our own files
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open_target(root / "closed")
except TargetError as error:
    print(error)
assessment = assess(root)
print(*assessment.problems, *(f"{s.path}: {s.reason}" for s in assessment.files_skipped), sep="\\n")
print(*(finding.rule for finding in assessment.findings))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_what_another_user_may_not_read_is_named(target: Path, environment: dict[str, str]) -> None:
    from tests.hostile.conftest import execute

    for folder in [target, *target.parents]:
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (target / "closed").mkdir(mode=0)
    (target / "secret.py").write_text("x = 1\n")
    (target / "secret.py").chmod(0)
    shown = execute([sys.executable, "-c", AS_NOBODY, target], env=environment)
    assert shown.returncode == 0, shown.stderr
    assert "closed: cannot be read (Permission denied); check its permissions" in shown.stdout
    assert "secret.py: Permission denied" in shown.stdout
    assert "closed: Permission denied" in shown.stdout
    assert FAULT in shown.stdout


def test_links_are_named_and_never_followed(target: Path) -> None:
    outside = target.parent / "outside"
    outside.mkdir()
    (outside / "evil.py").write_text(FAULTY_APP)
    (target / "sub").mkdir()
    links = {
        "self": "self", "a": "b", "b": "a", "up": "..", "sub/here": ".", "out": str(outside), "etc.py": "/etc/passwd",
        "out.py": str(outside / "evil.py"), "gone.py": "nowhere", "zero.py": "/dev/zero",
        "requirements.txt": "/etc/hosts",
        "Dockerfile": "/dev/stdin", "pyproject.toml": "/dev/zero", ".gitignore": "/dev/zero", "model.pkl": "/dev/zero",
    }  # fmt: skip
    for name, to in links.items():
        (target / name).symlink_to(to)
    assessment = survives(target)
    assert set(skipped(assessment)) == set(links)
    assert set(skipped(assessment).values()) == {"symbolic link: not followed"}


def test_special_files_are_named_and_never_opened(target: Path) -> None:
    names = ["pipe.py", "requirements.txt", "Dockerfile", ".gitignore", "model.pkl", "n.ipynb", "pyproject.toml"]
    for name in names:
        os.mkfifo(target / name)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(target)  # a socket's path is short
        try:
            listener.bind("socket.py")
        finally:
            os.chdir(here)
        if os.geteuid() == 0:
            os.mknod(target / "zero.py", 0o20666, os.makedev(1, 5))
            names.append("zero.py")
        assessment = survives(target)
    assert dict.fromkeys([*names, "socket.py"], "not a regular file") == skipped(assessment)


def test_a_file_that_becomes_a_pipe_after_it_was_listed_does_not_block(target: Path) -> None:
    (target / "swap.py").write_text("x = 1\n")
    file = files.scan(target).files["swap.py"]
    (target / "swap.py").unlink()
    os.mkfifo(target / "swap.py")
    assert file.data == b""
    assert file.unread == "not a regular file"
    (target / "swap.py").unlink()
    (target / "swap.py").symlink_to("/etc/passwd")
    assert files.File(target, "swap.py", 10).data == b""


def test_names_of_any_bytes_are_reviewed_or_named(target: Path) -> None:
    fine = [
        "new\nline.py",
        "\x1b[2J.py",
        "tab\t.py",
        "'\".py",
        "$(x).py",
        "-rf.py",
        "ü\u202e.py",
        "a" * 250 + ".py",
        "*.py",
    ]
    for name in fine:
        (target / name).write_text("x = (\n")
    (target / "folder\n\x1b").mkdir()
    (target / "folder\n\x1b" / "x.py").write_text("x = (\n")
    with open(os.fsencode(target) + b"/bad\xff.py", "wb") as stream:
        stream.write(b"x = (\n")
    assessment = survives(target)
    for name in [*fine, "folder\n\x1b/x.py"]:
        assert "MLE0307" in findings_at(assessment, name)
    assert skipped(assessment) == {"bad\\xff.py": "the file name is not valid UTF-8"}


def test_a_deep_folder_is_reviewed(target: Path) -> None:
    here = Path.cwd()
    try:
        os.chdir(target)
        for _ in range(60):  # longer than a path may be
            Path("d" * 100).mkdir()
            os.chdir("d" * 100)
    finally:
        os.chdir(here)
    assert any("too long" in reason for reason in skipped(survives(target)).values())


def test_files_of_gigabytes_are_not_read(target: Path) -> None:
    for name in ("data.csv", "big.py", "big.ipynb", "big.yaml", "Dockerfile", "requirements.txt", "model.pkl", "m.h5"):
        with (target / name).open("wb") as stream:
            stream.truncate(2_000_000_000)
    start = time.process_time()
    assessment = survives(target)
    assert time.process_time() - start < 20
    problems = " ".join(assessment.problems)
    assert "big.py: 2,000,000,000 bytes are above the limit" in problems
    assert "big.ipynb: 2,000,000,000 bytes are above the limit" in problems


def test_many_files_are_listed_up_to_a_limit(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in range(20):
        (target / f"z{folder}").mkdir()
        for number in range(100):
            (target / f"z{folder}" / f"{number}.txt").touch()
    monkeypatch.setattr(files, "MAX_FILES", 1_000)
    assessment = survives(target)
    assert assessment.files_scanned == 1_000
    assert any("more than 1,000 files" in problem for problem in assessment.problems)


def test_a_partial_review_says_so_and_ends_with_2(run: Run, target: Path) -> None:
    with (target / "big.py").open("wb") as stream:
        stream.truncate(3_000_000)
    result = run("review", target, "--format", "json")
    assert result.returncode == 2
    assert "big.py" in result.stderr
    report = Report.model_validate_json(result.stdout)
    assert report.coverage.state == "partial"
    assert FAULT in {finding.rule for finding in report.findings}
