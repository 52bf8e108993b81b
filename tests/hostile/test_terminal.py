"""Text of the target cannot drive the reader's terminal, in any format: names, contents, notes and messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.conftest import Result

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\u202e"
# Anything but newline and tab that a terminal acts upon, and the marks that reorder text.
DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def loud(target: Path) -> Path:
    root = target.parent / f"loud{ESCAPES}"
    target.rename(root)
    text = (root / "app.py").read_text()
    (root / "app.py").write_text(text.replace("debug=True)", f"debug=True)  # {ESCAPES}"), newline="")
    name = ESCAPES.replace("/", "") + "\n"
    for suffix in (".py", ".ipynb", ".yaml", ".pkl", ".sh"):
        (root / f"{name}{suffix}").write_text(f"x = ( # {ESCAPES}\n", newline="")
    (root / "Dockerfile").write_text(f"FROM {ESCAPES}\n{ESCAPES} x\nUSER root{ESCAPES}\nCMD python {ESCAPES}.py\n")
    (root / "requirements.txt").write_text(f"flask{ESCAPES}\ntorch\ngit+https://a/{ESCAPES}.git\n")
    (root / "pyproject.toml").write_text(
        '[tool.ml-engineer]\nignore = [{rule = "\\u001b[2J"}, {rule = "MLE0505", reason = "\\u001b[2J\\u202e"}]\n'
        '[project]\nname = "\\u001b[2J"\ndependencies = ["a\\u001b[2J"]\n'
    )
    (root / "bad.py").write_text("import torch\nx = torch.load('\x1b[2J')  # ml-engineer: ignore[MLE0501] \x1b[2J\n")
    (root / "link").symlink_to("\x1b[2J")
    (root / "\x1b[2Jlink").symlink_to(".")
    return root


@pytest.mark.parametrize("kind", ["text", "md", "html", "sarif"])
def test_no_format_carries_a_control_character(run: Callable[..., Result], loud: Path, kind: str) -> None:
    result = run("review", loud, "--format", kind)
    assert result.returncode in (0, 2), result.stderr
    assert "owned" in result.stdout
    assert DRIVES.findall(result.stdout + result.stderr) == []


def test_no_message_carries_a_control_character(run: Callable[..., Result], tmp_path: Path) -> None:
    for wrong in (f"none{ESCAPES}", "\n\x1b[2J"):
        result = run("review", tmp_path / wrong)
        assert result.returncode == 2
        assert DRIVES.findall(result.stderr) == []
        assert "Traceback" not in result.stderr
