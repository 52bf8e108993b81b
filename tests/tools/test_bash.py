"""Bash keeps what was written, ends what it started, and leaks nothing."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.tools.bash import benign
from ml_engineer.tools.launch import Limits, PlainLauncher, clean_environment
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.terminal import neutralise
from ml_engineer.tools.truncate import head, head_and_tail


def alive(marker: str) -> list[psutil.Process]:
    """Processes whose command line holds `marker`, zombies left out."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and marker in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


def test_output_and_exit_code(tools: Any) -> None:
    result = tools.call("Bash", command="echo out; echo err >&2; exit 3")
    assert (result.text, result.is_error) == ("Exit code 3\nout\nerr", True)
    assert result.data["exit_code"] == 3 and result.data["level"] == "off"
    assert tools.ok("Bash", command="true") == "(no output)"


def test_it_starts_in_the_root_with_nobody_to_ask(tools: Any, root: Path) -> None:
    assert tools.ok("Bash", command="pwd") == str(root)
    assert "cd does not carry over" in tools.ok("Bash", command="cd /")
    started = time.monotonic()
    assert tools.call("Bash", command="read answer; echo got $answer; cat").text == "got"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("command", "code", "meaning"),
    [
        ("grep x f", 1, "no match"),
        ("cat f | grep x", 1, "no match"),
        ("/usr/bin/diff a b", 1, "the inputs differ"),
        ("[ -f x ]", 1, "the condition is false"),
        ("git diff --exit-code", 1, "there are differences"),
        ("grep x f", 2, None),
        ("make && grep x f", 1, None),
        ("pytest", 1, None),
        ("grep x f; false", 1, None),
    ],
)
def test_an_exit_code_that_is_an_answer_is_no_error(command: str, code: int, meaning: str | None) -> None:
    assert benign(command, code) == meaning


def test_a_time_out_keeps_the_output_and_ends_the_whole_family(tools: Any) -> None:
    family = (
        "sleep 61.25 & setsid sleep 61.25 & (setsid nohup sleep 61.25 > /dev/null 2>&1 &) ; echo begun; sleep 61.25"
    )
    started = time.monotonic()
    result = tools.call("Bash", command=family, timeout=400)
    assert result.is_error and result.data["timed_out"]
    assert result.text == "Timed out after 400 ms; the command and all it started were ended. Output until then:\nbegun"
    assert time.monotonic() - started < 10
    assert alive("sleep 61.25") == []


def test_a_command_that_ignores_the_polite_signal_is_ended(tools: Any) -> None:
    result = tools.call("Bash", command="trap '' TERM; echo stubborn; while true; do sleep 0.1; done", timeout=300)
    assert result.data["timed_out"] and "stubborn" in result.text and result.data["exit_code"] == -9


def test_what_a_foreground_command_leaves_running_is_ended(tools: Any) -> None:
    started = time.monotonic()
    assert tools.ok("Bash", command="sleep 62.5 & setsid sleep 62.5 & echo done") == "done"
    assert time.monotonic() - started < 5
    assert alive("sleep 62.5") == []


def test_a_cancelled_call_leaves_nothing_running(tools: Any) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(invoke("Bash", {"command": "echo x > made; sleep 63.75"}, tools.context))
        await asyncio.sleep(0.4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    tools._runner.run(cancelled())
    assert alive("sleep 63.75") == []
    assert [change.path for change in tools.context.checkpoints.changes()] == ["made"]


def test_long_output_is_cut_in_the_middle_and_kept_whole(tools: Any) -> None:
    result = tools.call("Bash", command="seq 1 200000")
    lines = result.text.split("\n")
    assert lines[0] == "1" and "200000" in lines
    assert any(line.startswith("[… ") and "lines" in line for line in lines)
    assert len(result.text) < 31_000
    kept = Path(result.data["output_file"])
    assert kept.read_text() == "".join(f"{n}\n" for n in range(1, 200_001))
    assert "150000" in tools.ok("Read", file_path=str(kept), offset=150_000, limit=1)
    assert tools.ok("Grep", pattern="^123456$", path=str(kept), output_mode="content").endswith(":123456:123456")


def test_a_flood_is_capped_on_disk_and_its_end_is_shown(tools: Any) -> None:
    tools.context.spills.cap = 100_000
    result = tools.call("Bash", command="yes filler | head -c 3000000; echo the end")
    assert "the end" in result.text and "were not kept" in result.text
    assert Path(result.data["output_file"]).stat().st_size == 100_000


def test_short_output_leaves_no_file(tools: Any) -> None:
    tools.ok("Bash", command="echo x")
    assert list((tools.run_dir / "outputs").iterdir()) == []


def test_background_output_is_polled_and_killed(tools: Any, root: Path) -> None:
    started = tools.ok("Bash", command="echo one; touch made; sleep 0.3; echo two; sleep 64.5", run_in_background=True)
    assert started.startswith("Started in the background as bash_1.")
    tools.sleep(0.15)
    assert tools.ok("BashOutput", bash_id="bash_1").endswith("\none")
    assert "(nothing new)" in tools.ok("BashOutput", bash_id="bash_1")
    tools.sleep(0.5)
    assert "two" in tools.ok("BashOutput", bash_id="bash_1", filter="^t")
    assert tools.ok("KillShell", shell_id="bash_1") == "bash_1 was ended."
    assert alive("sleep 64.5") == []
    assert "ended on request" in tools.ok("BashOutput", bash_id="bash_1")
    tools.context.checkpoints.undo()
    assert not (root / "made").exists()


def test_an_edit_during_a_background_command_is_not_taken_for_its_work(tools: Any, root: Path) -> None:
    (root / "a.txt").write_text("1\n")
    tools.ok("Bash", command="sleep 0.2; echo x > theirs", run_in_background=True)
    tools.ok("Read", file_path="a.txt")
    tools.ok("Edit", file_path="a.txt", old_string="1", new_string="2")
    tools.sleep(0.6)
    tools.ok("BashOutput", bash_id="bash_1")
    assert {(change.tool, change.path) for change in tools.context.checkpoints.changes()} == {
        ("Edit", "a.txt"),
        ("Bash", "theirs"),
    }


def test_the_end_of_the_run_ends_background_commands(open_tools: Any) -> None:
    driver = open_tools()
    driver.ok("Bash", command="sleep 65.75", run_in_background=True)
    assert alive("sleep 65.75")
    driver._runner.run(driver._stack.aclose())
    assert alive("sleep 65.75") == []


def test_secrets_do_not_reach_the_command(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-2")
    monkeypatch.setenv("CONDA_TOKEN", "canary-3")
    monkeypatch.setenv("SOMETHING_NEW", "canary-4")
    monkeypatch.setenv("BASH_ENV", "/canary-5")
    assert "canary" not in tools.ok("Bash", command="env; cat /proc/self/environ | tr '\\0' '\\n'")


def test_the_environment_is_what_a_build_needs() -> None:
    source = {"PATH": "/bin", "HOME": "/home/u", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "GITHUB_TOKEN": "x"}
    source |= {"HTTPS_PROXY": "http://proxy:1", "HTTP_PROXY": "http://user:pw@proxy:1"}
    env = clean_environment(source, home=Path("/run/home"))
    assert env["HOME"] == "/run/home" and env["PATH"] == "/bin" and env["LC_ALL"] == "C"
    assert env["CUDA_VISIBLE_DEVICES"] == "0" and not {"GITHUB_TOKEN", "HTTPS_PROXY", "HTTP_PROXY"} & env.keys()
    with_network = clean_environment(source, network=True)
    assert with_network["HTTPS_PROXY"] == "http://proxy:1" and "HTTP_PROXY" not in with_network


def test_limits_hold(tools: Any, root: Path) -> None:
    tools.context.launcher = PlainLauncher(limits=Limits(file_bytes=10_000, cpu_seconds=1, open_files=64))
    assert "file size limit" in tools.no("Bash", command="exec head -c 50000 /dev/zero > big")
    assert (root / "big").stat().st_size == 10_000
    assert "killed" in tools.no("Bash", command="while :; do :; done", timeout=20_000)
    assert tools.ok("Bash", command="ulimit -n; ulimit -c") == "64\n0"


def test_a_program_that_is_not_there_is_said(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_engineer.tools.launch.SHELL", ("no-such-shell", "-c"))
    assert "could not be started" in tools.no("Bash", command="true")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "xlink"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("10%\r50%\r100%\n", "100%\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("bell\x07 back\x08 nul\x00", "bell\\x07 back\\x08 nul\\x00"),
        ("a\u202eb\u200bc", "a\\u202eb\\u200bc"),
        ("\x9b31mx", "x"),
        ("caf\u00e9 \U0001f600\ttab\n", "caf\u00e9 \U0001f600\ttab\n"),
        ("\udcff", "\\xff"),
    ],
)
def test_escape_sequences_are_neutralised(text: str, safe: str) -> None:
    assert neutralise(text) == safe


@given(st.text(alphabet=st.one_of(st.sampled_from("\x1b\x9b[]\x07\\;0m\r\n\x90P"), st.characters()), max_size=60))
def test_no_control_character_survives(text: str) -> None:
    assert not [c for c in neutralise(text) if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]


@given(st.lists(st.text(alphabet="ab", max_size=30), max_size=60), st.integers(20, 400))
def test_a_cut_keeps_both_ends_and_counts_the_rest(lines: list[str], limit: int) -> None:
    text = "\n".join(lines)
    cut = head_and_tail(text, max_chars=limit)
    if len(text) <= limit:
        assert (cut.text, cut.is_cut) == (text, False)
        return
    before, marker, after = cut.text.partition("[… ")
    assert marker and text.startswith(before.rstrip("\n")) and text.endswith(after.split("…]\n", 1)[1])
    shown_chars = len(before.rstrip("\n")) + len(after.split("…]\n", 1)[1])
    assert abs(len(text) - shown_chars - cut.elided_chars) <= 1


@given(st.lists(st.text(max_size=20), max_size=30), st.integers(1, 200))
def test_a_head_is_whole_lines(lines: list[str], limit: int) -> None:
    kept, left_out = head(lines, max_chars=limit)
    assert kept == lines[: len(kept)] and len(kept) + left_out == len(lines)
    assert len(kept) <= 1 or sum(len(line) + 1 for line in kept) <= limit


def test_output_that_is_no_text_does_not_break_the_result(tools: Any) -> None:
    text = tools.ok("Bash", command=r"printf 'ok \xff\x00 end'")
    assert text == r"ok \xff\x00 end"
    text.encode()
    assert os.fsencode(text)
