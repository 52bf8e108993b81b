"""What the agent changed can be taken back: one file, one step or all; and never without a checkpoint."""

from __future__ import annotations

import itertools
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.tools.checkpoints import Caps
from ml_engineer.tools.journal import Journal, JournalError
from ml_engineer.tools.tree import Entry, Tree, changed


def snapshot(root: Path) -> dict[str, tuple[Any, int]]:
    """Every file and link with its content and mode."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = (str(path.readlink()), 0)
        elif path.is_file():
            found[name] = (path.read_bytes(), path.stat().st_mode & 0o7777)
    return found


@pytest.fixture
def repo(root: Path) -> Path:
    (root / "src").mkdir()
    (root / "src" / "a.py").write_text("a = 1\n")
    (root / "run.sh").write_text("echo\n")
    (root / "run.sh").chmod(0o755)
    (root / "untracked.bin").write_bytes(b"\x00\xff" * 500)
    (root / "link").symlink_to("run.sh")
    return root


def test_edits_writes_and_new_folders_are_taken_back(tools: Any, repo: Path) -> None:
    before = snapshot(repo)
    tools.ok("Read", file_path="src/a.py")
    tools.ok("Edit", file_path="src/a.py", old_string="1", new_string="2")
    tools.ok("Write", file_path="new/deep/b.py", content="b\n")
    assert snapshot(repo) != before
    done = tools.context.checkpoints.restore_all()
    assert sorted(done.paths) == ["new/deep/b.py", "src/a.py"] and not done.conflicts
    assert snapshot(repo) == before
    assert not (repo / "new").exists()


def test_whatever_a_command_did_is_taken_back(tools: Any, repo: Path) -> None:
    before = snapshot(repo)
    command = (
        "rm -rf src && touch src && chmod 600 run.sh && printf x >> untracked.bin && rm link && ln -s src link "
        "&& mkdir made && echo n > made/new.txt"
    )
    result = tools.call("Bash", command=command)
    assert result.data["changed"] == ["link", "made/new.txt", "run.sh", "src", "src/a.py", "untracked.bin"]
    done = tools.context.checkpoints.undo()
    assert not done.conflicts and not done.lost
    assert snapshot(repo) == before


def test_a_rewrite_that_keeps_size_and_time_is_noticed(tools: Any, repo: Path) -> None:
    tools.ok("Bash", command="true")
    result = tools.call(
        "Bash", command="touch -r src/a.py stamp && printf 'a = 9\\n' > src/a.py && touch -r stamp src/a.py"
    )
    assert "src/a.py" in result.data["changed"]
    tools.context.checkpoints.undo()
    assert (repo / "src" / "a.py").read_text() == "a = 1\n"


def test_undo_goes_back_call_by_call(tools: Any, repo: Path) -> None:
    points = tools.context.checkpoints
    tools.ok("Read", file_path="src/a.py")
    for old, new in (("1", "2"), ("2", "3")):
        tools.ok("Edit", file_path="src/a.py", old_string=f"a = {old}", new_string=f"a = {new}")
    points.undo()
    assert (repo / "src" / "a.py").read_text() == "a = 2\n"
    points.undo()
    assert (repo / "src" / "a.py").read_text() == "a = 1\n"
    assert points.undo().paths == []
    tools.no("Edit", file_path="src/a.py", old_string="a = 1", new_string="x")  # what was read is not what is there


def test_one_step_is_taken_back_and_a_later_change_is_a_conflict(tools: Any, repo: Path) -> None:
    tools.ok("Read", file_path="src/a.py")
    tools.context.step = "3"
    tools.ok("Edit", file_path="src/a.py", old_string="a = 1", new_string="a = 2")
    tools.ok("Write", file_path="three.txt", content="3\n")
    tools.context.step = "4"
    tools.ok("Edit", file_path="src/a.py", old_string="a = 2", new_string="a = 3")
    done = tools.context.checkpoints.restore_step("3")
    assert (done.paths, done.conflicts) == (["three.txt"], ["src/a.py"])
    assert (repo / "src" / "a.py").read_text() == "a = 3\n" and not (repo / "three.txt").exists()
    assert tools.context.checkpoints.restore_step("4").paths == ["src/a.py"]
    assert (repo / "src" / "a.py").read_text() == "a = 2\n"


def test_what_the_user_changed_since_is_left_alone(tools: Any, repo: Path) -> None:
    tools.ok("Read", file_path="src/a.py")
    tools.ok("Edit", file_path="src/a.py", old_string="1", new_string="2")
    (repo / "src" / "a.py").write_text("the user's\n")
    assert tools.context.checkpoints.restore_all().conflicts == ["src/a.py"]
    assert (repo / "src" / "a.py").read_text() == "the user's\n"
    assert tools.context.checkpoints.restore_file("src/a.py", force=True).paths == ["src/a.py"]
    assert (repo / "src" / "a.py").read_text() == "a = 1\n"


def test_no_checkpoint_no_change(tools: Any, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    tools.ok("Read", file_path="src/a.py")
    monkeypatch.setattr(tools.context.checkpoints._blobs, "put", full)
    message = tools.no("Edit", file_path="src/a.py", old_string="1", new_string="2")
    assert "was not changed, because no checkpoint" in message and "No space left" in message
    assert (repo / "src" / "a.py").read_text() == "a = 1\n"
    assert "was not run" in tools.no("Bash", command="rm run.sh")
    assert (repo / "run.sh").exists()


def test_the_cap_prunes_states_between_and_never_the_first(open_tools: Any, root: Path) -> None:
    tools = open_tools(Caps(total=3_000))
    texts = [f"{n}" * 999 + "\n" for n in range(6)]
    (root / "f.txt").write_text(texts[0])
    tools.ok("Read", file_path="f.txt")
    for old, new in itertools.pairwise(texts):
        tools.ok("Edit", file_path="f.txt", old_string=old, new_string=new)
    used = sum(path.stat().st_size for path in (tools.run_dir / "blobs").rglob("*") if path.is_file())
    assert used <= 3_000
    (root / "g.txt").write_text("g" * 2_500)
    tools.ok("Read", file_path="g.txt")
    message = tools.no("Edit", file_path="g.txt", old_string="g" * 2_500, new_string="h")
    assert "reached their cap of 3,000 bytes" in message
    assert tools.context.checkpoints.restore_all().paths == ["f.txt"]
    assert (root / "f.txt").read_text() == texts[0]


def test_a_large_file_is_named_as_not_covered(open_tools: Any, root: Path) -> None:
    tools = open_tools(Caps(tree_file=1_000))
    (root / "data.csv").write_bytes(b"x" * 5_000)
    (root / "small.txt").write_text("s")
    assert "Undo does not cover what commands do to data.csv" in tools.ok("Bash", command="true")
    text = tools.ok("Bash", command="echo y >> data.csv; echo t > small.txt")
    assert "Changed, but too large to be undone: data.csv" in text
    done = tools.context.checkpoints.undo()
    assert (done.paths, done.lost) == (["small.txt"], ["data.csv"])
    assert (root / "small.txt").read_text() == "s"


def test_git_index_and_branch_are_not_touched(tools: Any, repo: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(repo), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    git("add", "src")
    git("commit", "-qm", "first")
    git("add", "run.sh")
    index, head = (repo / ".git" / "index").read_bytes(), (repo / ".git" / "HEAD").read_bytes()
    before = snapshot(repo)
    tools.ok("Read", file_path="src/a.py")
    tools.ok("Edit", file_path="src/a.py", old_string="1", new_string="2")
    tools.ok("Bash", command="rm run.sh; echo z > src/z.py")
    tools.context.checkpoints.restore_all()
    assert (repo / ".git" / "index").read_bytes() == index and (repo / ".git" / "HEAD").read_bytes() == head
    assert snapshot(repo) == before


def test_a_run_killed_in_a_command_still_knows_what_it_changed(open_tools: Any, repo: Path) -> None:
    first = open_tools()
    first.context.checkpoints.begin_command(step="3")
    (repo / "src" / "a.py").write_text("half done\n")  # and no finish_command: the process is gone
    second = open_tools()
    assert [(c.path, c.tool, c.step) for c in second.context.checkpoints.changes()] == [("src/a.py", "Bash", "3")]
    second.context.checkpoints.restore_all()
    assert (repo / "src" / "a.py").read_text() == "a = 1\n"


def test_the_journal_drops_a_torn_end_and_refuses_damage_inside(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    journal = Journal(path, fsync=False)
    journal.append({"id": 1})
    journal.append({"id": 2})
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"id": 3, "pa')
    again = Journal(path, fsync=False)
    again.append({"id": 4})
    again.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [1, 2, 4]
    path.write_text('{"id": 1}\n{"id"\n{"id": 2}\n')
    with pytest.raises(JournalError, match="line 2"):
        Journal(path)


def test_a_file_written_as_the_tree_was_looked_at_is_looked_at_again() -> None:
    """Its time stamp may not move when it is written once more within the clock's grain."""
    start = 1_700_000_000_000_000_000
    old = Entry(0o100644, 1, start - 10**9, start - 10**9, 1)
    fresh = Entry(0o100644, 1, start - 10**6, start - 10**6, 2)
    before = Tree(start, {"old": old, "fresh": fresh, "gone": old})
    after = Tree(start + 10**9, {"old": old, "fresh": fresh, "new": old})
    assert changed(before, after) == ["fresh", "gone", "new"]


def test_threads_do_not_share_a_number(tools: Any, root: Path) -> None:
    points = tools.context.checkpoints
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda n: points.begin("Write", f"f{n}.txt")[0], range(60)))
    assert sorted(begun) == list(range(1, 61))
