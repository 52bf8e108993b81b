"""All eight tools over one repository, as an agent uses them: look, find, change, run, take back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

TRAIN = '''"""Trains the churn model."""
import pickle

import numpy as np


def train(rows):
    weights = np.zeros(rows.shape[1])
    return weights


def save(model, path):
    with open(path, "wb") as file:
        pickle.dump(model, file)
'''

SERVE = "import pickle\r\n\r\nMODEL = pickle.load(open('model.pkl', 'rb'))\r\n"

TEST = """from pathlib import Path
from unittest import TestCase


class TestTrain(TestCase):
    def test_seeded(self):
        self.assertIn("seed=0", Path("churn/train.py").read_text())
"""


def prototype(root: Path) -> None:
    """A prototype as data scientists leave them, in git, with data that git does not know."""
    (root / "churn").mkdir()
    (root / "churn" / "train.py").write_text(TRAIN)
    (root / "churn" / "serve.py").write_bytes(SERVE.encode())
    (root / "data").mkdir()
    (root / "data" / "churn.csv").write_text("age,churned\n31,0\n")
    (root / ".gitignore").write_text("data/\n")
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@t"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "Prototype"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)


def test_from_the_first_look_to_the_last_undo(tools: Any, root: Path) -> None:
    prototype(root)

    # LS: what is here?
    listing = tools.ok("LS").split("\n")
    assert listing == [".git/", "churn/", "data/", ".gitignore  (6 bytes)", "[4 entries]"]

    # Glob: which files are code? What git ignores is not shown.
    assert set(tools.ok("Glob", pattern="**/*.py").split("\n")) == {"churn/train.py", "churn/serve.py"}
    assert "No file matches *.csv" in tools.ok("Glob", pattern="*.csv")

    # Grep: where are models unpickled?
    found = tools.ok("Grep", pattern=r"pickle\.(load|dump)\(", output_mode="content")
    assert found == (
        "churn/serve.py:3:MODEL = pickle.load(open('model.pkl', 'rb'))\n"
        "churn/train.py:14:        pickle.dump(model, file)"
    )

    # Read: the file with its line numbers; then it may be changed, not before.
    assert "has not been read" in tools.no("Edit", file_path="churn/train.py", old_string="zeros", new_string="ones")
    text = tools.ok("Read", file_path="churn/train.py", offset=7, limit=3)
    assert text.startswith("7\tdef train(rows):\n8\t    weights = np.zeros(rows.shape[1])\n9\t    return weights\n")

    # Edit: one exact piece; the answer shows the new lines.
    tools.context.step = "3"
    done = tools.ok(
        "Edit",
        file_path="churn/train.py",
        old_string="def train(rows):\n",
        new_string="def train(rows, seed=0):\n    np.random.seed(seed)\n",
    )
    assert "7\tdef train(rows, seed=0):\n8\t    np.random.seed(seed)\n" in done

    # MultiEdit: several pieces of a CRLF file, all or none, and it stays a CRLF file.
    tools.ok("Read", file_path="churn/serve.py")
    load = {
        "old_string": "MODEL = pickle.load(open('model.pkl', 'rb'))\n",
        "new_string": "MODEL = skops.load('model.skops')\n",
    }
    tools.ok(
        "MultiEdit",
        file_path="churn/serve.py",
        edits=[{"old_string": "import pickle", "new_string": "import skops"}, load],
    )
    assert (root / "churn" / "serve.py").read_bytes() == b"import skops\r\n\r\nMODEL = skops.load('model.skops')\r\n"

    # Write: a new file in a new folder.
    tools.context.step = "8"
    assert tools.ok("Write", file_path="tests/test_train.py", content=TEST).startswith("Created tests/test_train.py: 7")

    # Bash: the project's own check, its exit code and its output; what it leaves behind is on record.
    command = f"{sys.executable} -B -m unittest tests/test_train.py && echo checked > checked.txt"
    ran = tools.call("Bash", command=command, description="Run the tests")
    assert not ran.is_error, ran.text
    assert "Ran 1 test" in ran.text and ran.data["changed"] == ["checked.txt"]
    status = tools.ok("Bash", command="git status --short")
    assert status.split("\n") == [" M churn/serve.py", " M churn/train.py", "?? checked.txt", "?? tests/"]

    # A background server, polled and ended.
    tools.ok("Bash", command="echo listening; sleep 60", run_in_background=True)
    tools.sleep(0.3)
    shell = tools.context.shells.in_background()[0].id
    assert "listening" in tools.ok("BashOutput", bash_id=shell)
    tools.ok("KillShell", shell_id=shell)

    # The journal knows who did what; one step, then everything, is taken back. Git's index was never touched.
    changes = [(change.step, change.tool, change.path) for change in tools.context.checkpoints.changes()]
    assert changes == [
        ("3", "Edit", "churn/train.py"),
        ("3", "MultiEdit", "churn/serve.py"),
        ("8", "Write", "tests/test_train.py"),
        ("8", "Bash", "checked.txt"),
    ]
    assert sorted(tools.context.checkpoints.restore_step("8").paths) == ["checked.txt", "tests/test_train.py"]
    tools.context.checkpoints.restore_all()
    assert (root / "churn" / "train.py").read_text() == TRAIN
    assert (root / "churn" / "serve.py").read_bytes() == SERVE.encode()
    assert tools.ok("Bash", command="git status --short") == "(no output)"
