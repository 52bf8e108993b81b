"""Chats of their own: coming back after a kill, leaving, small and poor terminals, pipes, other locales."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_engineer.agent.runs import Run
from ml_engineer.interfaces.terminal.history import NAME as HISTORY
from tests.interfaces.terminal.conftest import APP, Start, left, model_settings, picture, serving
from tests.support.paced_server import Paced, PacedServer, Plays
from tests.support.script import call, text
from tests.support.terminal import SCRIPT, Terminal, clean_environment

ACCENTS = "Größe → naïve … ✓ 日本"
PLAYS = Plays(
    {
        "#edit": [
            [call("UpdatePlan", items=[{"text": "Switch it off", "state": "active"}])],
            [call("Read", file_path="app.py")],
            [call("Edit", file_path="app.py", old_string="debug=True", new_string="debug=False")],
            Paced(["It is ", "off. ", "never"], 0.02, then=300),
        ],
        "#write": [[call("Write", file_path="new.py", content="x = 1\n")], [text("The file is over.")]],
        "#short": [[text("A **short** answer.")]],
        "#accents": [[text(f"{ACCENTS}\n\n- one\n- two\n")]],
        "#slow": [Paced([f"piece{number} " for number in range(400)], 0.05)],
        "#table": [
            [
                text(
                    "| a name | another | and more | last |\n|---|---|---|---|\n"
                    + "| some words here | x | y | z and more |\n" * 3
                )
            ]
        ],
    }
)


@pytest.fixture(scope="module")
def server() -> Iterator[PacedServer]:
    with serving(PLAYS) as running:
        yield running


# --- coming back and leaving ------------------------------------------------------------------------------------------


def test_everything_is_there_after_a_kill(start: Start, server: PacedServer, home: Path) -> None:
    app = home / "prototype" / "app.py"
    first = start(server, "--permission", "accept-edits")
    first.wait_for("mode accept-edits")
    first.say("switch the debugger off #edit")
    first.wait_for("It is off.")
    assert "debug=False" in app.read_text()
    first.kill()

    second = start(server)
    second.wait_for("mode ask")
    second.say("/resume")
    second.wait_for("switch the debugger off")
    second.wait_for("press a letter")
    second.send("1")
    second.wait_for("The last turn was interrupted")
    second.wait_for("● Edit")
    second.say("/plan")
    second.wait_for("Switch it off")
    second.say("#short")
    second.wait_for("A short answer.")
    second.say("/undo")
    second.wait_for("Taken back")
    assert app.read_text() == APP


def test_a_conversation_goes_on_from_the_command_line(start: Start, server: PacedServer) -> None:
    first = start(server)
    first.wait_for("mode ask")
    first.say("remember this #short")
    first.wait_for("A short answer.")
    second = start(server, "--resume", left(first))
    second.wait_for("› remember this #short")
    second.wait_for("A short answer.")


def test_a_chat_in_which_nothing_was_said_leaves_nothing_behind(start: Start, home: Path) -> None:
    chat = start(None)
    chat.wait_for("mode ask")
    chat.say("/quit")
    assert chat.wait_for_end() == 0
    assert "--resume" not in chat.screen
    assert list((home / "runs").iterdir()) == []


def test_ctrl_c_twice_leaves_and_gives_the_terminal_back(home: Path) -> None:
    environment = clean_environment(home)
    inner = f'{SCRIPT} chat prototype; stty -a | grep -q " echo " && echo it echoes'
    with Terminal(["-c", inner], environment, cwd=home, program=["/bin/sh"]) as terminal:
        terminal.wait_for("mode ask")
        terminal.send("ctrl-c")
        terminal.wait_for("Press Ctrl-C again")
        terminal.send("ctrl-c")
        terminal.wait_for("it echoes")


def test_the_history_of_an_earlier_chat_is_there(start: Start, home: Path) -> None:
    first = start(None)
    first.wait_for("mode ask")
    first.say("/explain MLE0502")
    first.wait_for("can run code")
    first.send("ctrl-d")
    first.wait_for_end()
    assert (home / HISTORY).stat().st_mode & 0o077 == 0, "nobody else may read it"
    second = start(None)
    second.wait_for("mode ask")
    second.send("up")
    second.wait_for("› /explain MLE0502")


@pytest.mark.parametrize("how", ["terminated", "window closed"])
def test_an_end_from_outside_is_in_order(
    start: Start, server: PacedServer, home: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ENGINEER_HOME", str(home))
    chat = start(server)
    chat.wait_for("mode ask")
    chat.say("#slow")
    chat.wait_for("piece2 ")
    if how == "terminated":
        chat.process.send_signal(signal.SIGTERM)
        assert chat.wait_for_end() == 0
    else:
        chat.hang_up()
        chat.wait_for_end()
    (run,) = (home / "runs").iterdir()
    assert "piece2" in (run / "session.jsonl").read_text(), "what was said until then is kept"
    assert Run.open(run.name).state != "running", "and nobody works on it any more"


def test_no_command_at_a_terminal_is_the_chat(start: Start, home: Path) -> None:
    chat = start(None, "nothing", cwd=home / "prototype")
    chat.wait_for("/help lists the commands")
    chat.wait_for("~/prototype")


def test_no_command_without_a_terminal_is_the_help(home: Path) -> None:
    done = subprocess.run(
        [SCRIPT], env=clean_environment(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Usage: ml-engineer" in done.stderr


# --- terminals that can less ------------------------------------------------------------------------------------------


def test_forty_columns(start: Start, server: PacedServer) -> None:
    chat = start(server, columns=40, rows=24)
    chat.wait_for("mode ask")
    chat.say("#table")
    chat.wait_for("another: x")
    chat.say("/findings")
    chat.wait_for("Findings, 1 of")
    chat.wait_for("q:leave")
    picture(chat, "narrow", "Forty columns")
    chat.send("q")
    chat.wait_gone("q:leave")
    chat.say("#write")
    chat.wait_for("+x = 1")
    chat.wait_for("press a letter")
    chat.send("n")
    chat.wait_for("The file is over.")


def test_plain_for_screen_readers(start: Start, server: PacedServer, home: Path) -> None:
    chat = start(server, "--plain")
    chat.wait_for("you:")
    chat.say("#write")
    for count, answer in enumerate(("", "maybe"), 1):
        chat.wait(lambda count=count: chat.screen.count("Type y, a, n or t:") == count, "the question")
        chat.say(answer)
    chat.wait(lambda: chat.screen.count("Type y, a, n or t:") == 3, "the question, again")
    assert not (home / "prototype" / "new.py").exists()
    chat.say("t")
    chat.wait_for("What should the model know?")
    chat.say("call it better")
    chat.wait_for("The file is over.")
    picture(chat, "plain", "Plain lines for screen readers")
    chat.say("/findings")
    chat.wait_for("1. ")
    chat.say("/help")
    chat.wait_for_history("/undo [force]; Take back")
    assert b"\x1b" not in chat.raw
    assert "failed: Write new.py" in chat.history
    chat.send("ctrl-d")
    assert chat.wait_for_end() == 0


def test_a_dumb_terminal_gets_lines_and_ctrl_c_stops(start: Start, server: PacedServer) -> None:
    chat = start(server, TERM="dumb")
    chat.wait_for("you:")
    before = len(server.requests)
    chat.say("#slow")
    chat.wait(lambda: len(server.requests) > before, "the turn to begin")
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")
    chat.say("#short")
    chat.wait_for("A **short** answer.")
    chat.wait(lambda: chat.screen.endswith("you:"), "an idle prompt")
    chat.send("ctrl-c")
    assert chat.wait_for_end() == 0
    assert "Fatal" not in chat.screen
    assert b"\x1b" not in chat.raw


@pytest.mark.parametrize(
    ("locale", "name"), [("C", b"Gro?e -> naive"), ("de_DE.ISO-8859-1", "Größe -> naïve".encode("latin-1"))]
)
def test_other_characters_where_the_locale_has_no_utf8_and_no_colours_where_none_are_wanted(
    start: Start, server: PacedServer, locale: str, name: bytes
) -> None:
    chat = start(server, LC_ALL=locale, NO_COLOR="1")
    chat.wait_for("mode ask")
    chat.say("#accents")
    chat.wait_for("two")
    chat.wait(lambda: name in chat.raw, "the words in the terminal's characters")
    assert "日".encode() not in chat.raw
    assert "›".encode() not in chat.raw
    if locale == "C":
        assert chat.raw.isascii()
        assert "* two" in chat.screen
    chat.say("#write")
    chat.wait_for("press a letter")
    chat.send("n")
    chat.wait_for("The file is over.")
    colours = re.findall(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m", bytes(chat.raw))
    assert colours == []


# --- pipes ------------------------------------------------------------------------------------------------------------


def piped(home: Path, server: PacedServer | None, typed: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [SCRIPT, "chat", home / "prototype", *arguments],
        input=typed,
        env=clean_environment(home, **model_settings(server)),
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_a_pipe_is_a_message_a_line_answers_plainly_and_approves_nothing(server: PacedServer, home: Path) -> None:
    done = piped(home, server, b"#short\r\n\r\n/explain MLE0502\r\n#write\r\ny\r\ny\r\nlast \\\r\n#accents")
    out = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert out.startswith("A **short** answer.\n")
    assert "can run code" in out
    assert ACCENTS in out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "nobody can be asked" in out
    assert not (home / "prototype" / "new.py").exists()
    assert "last \n#accents" in json.dumps(server.requests[-1].body).replace("\\n", "\n")


def test_a_question_that_was_not_answered_is_no_success(server: PacedServer, home: Path) -> None:
    without = piped(home, None, b"why is the recall so low?\n")
    assert (without.returncode, b"There is no model to talk to" in without.stdout) == (2, True)
    assert piped(home, server, b"#short\n#short\n", "--max-turns", "1").returncode == 2, "the second was past the cap"


def test_a_pipe_may_work_in_a_mode_that_does_not_ask(server: PacedServer, home: Path) -> None:
    done = piped(home, server, b"#write\n", "--permission", "accept-edits")
    assert done.returncode == 0
    assert (home / "prototype" / "new.py").read_text() == "x = 1\n"


def test_an_error_in_a_pipe_is_told_and_the_rest_is_done(home: Path) -> None:
    done = piped(home, None, b"/nonsense\n/explain MLE0502\n")
    assert done.returncode == 2
    assert b"there is no command /nonsense" in done.stdout
    assert b"can run code" in done.stdout
