"""Every command in a real terminal, without a model: each works, or says why it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_engineer.interfaces.terminal.commands import COMMANDS
from tests.interfaces.terminal.conftest import picture, scene
from tests.support.terminal import Terminal, clean_environment


@pytest.fixture(scope="module")
def chat(place: Path) -> Iterator[Terminal]:
    """A chat without a model, in which a review was made."""
    with Terminal(["chat", place / "prototype"], clean_environment(place), columns=100, rows=44) as terminal:
        terminal.wait_for("mode ask")
        terminal.say("/review")
        terminal.wait_for("/findings walks through them")
        yield terminal


# What is typed, and what can then be seen.
SEEN = {
    "/help": "Anything else is said to the agent",
    "/help undo": "Take back the changes of the last turn",
    "/review 5": "/findings walks through them",
    "/implement make it safe": "needs a model",
    "/step 5": "needs a model",
    "/plan": "There is no plan",
    "/delegate devops-engineer is it safe?": "the brief is queued",
    "/findings 99": "there is no finding 99",
    "/explain MLE0502": "Artefact is loaded by a format that can run code",
    "/report": "ML Test Score",
    "/export report.xyz": "name a file that ends with one of",
    "/diff": "Nothing is different from before",
    "/undo": "There is nothing left to take back",
    "/permissions": "what it does",
    "/sandbox": "Commands",
    "/model": "There is no model to talk to",
    "/cost": "together",
    "/compact": "needs a model",
    "/peers": "data-scientist",
    "/runs": "this one",
    "/resume": "conversation",
    "/unfold 99": "there is nothing to unfold",
    "/clear": "",  # test_turns, test_sessions: they end the conversation
    "/quit": "",
    "/nonsense": "there is no command /nonsense",
    "/findigs": "did you mean /findings?",
    "why is it slow?": "There is no model to talk to",
}


def test_every_command_has_a_scene() -> None:
    assert {line.split()[0].removeprefix("/") for line in SEEN if line.startswith("/")} >= set(COMMANDS)


@pytest.mark.parametrize("line", [line for line, seen in SEEN.items() if seen])
def test_what_a_command_shows(chat: Terminal, line: str) -> None:
    scene(chat)
    chat.say(line)
    chat.wait_for(f"› {line}")
    chat.wait_for(SEEN[line])
    assert "Traceback" not in chat.screen


def test_findings_are_walked_with_the_keyboard(chat: Terminal) -> None:
    scene(chat)
    chat.say("/findings")
    chat.wait_for("Findings, 1 of")
    chat.wait_for("q leave")
    chat.send("down", "down")
    chat.wait_for("Findings, 3 of")
    assert re.search(r"^ +\d+ ", chat.screen, re.MULTILINE), "the quoted code with its line numbers"
    picture(chat, "findings", "Findings, walked with the keyboard")
    chat.send("end")
    chat.wait(
        lambda: (found := re.search(r"Findings, (\d+) of (\d+)", chat.screen)) and found[1] == found[2], "the end"
    )
    chat.send("q")
    chat.wait_gone("q leave")


def test_a_finding_is_suppressed_with_a_reason_and_that_is_undone(chat: Terminal, place: Path) -> None:
    app = place / "prototype" / "app.py"
    before = app.read_text()
    scene(chat)
    chat.say("/findings")
    chat.wait_for("Findings, 1 of")
    chat.wait_for("q leave")
    chat.send("s")
    chat.wait_for("Why is it no problem here?")
    chat.say("the file is ours")
    chat.wait_for("press a letter")
    assert "+" in chat.screen
    assert "the file is ours" in chat.screen, "the change is shown before it is allowed"
    chat.send("y")
    chat.wait_for("is put aside there")
    assert "the file is ours" in app.read_text()
    chat.say("/undo")
    chat.wait_for("Taken back")
    assert app.read_text() == before


def test_a_finding_is_sent_to_a_peer(chat: Terminal) -> None:
    scene(chat)
    chat.say("/findings")
    chat.wait_for("Findings, 1 of")
    chat.wait_for("q leave")
    chat.send("p")
    chat.wait_for("Which peer?")
    chat.wait_for("press a letter")
    chat.send("1")
    chat.wait_gone("Which peer?\n")
    chat.wait_for("queued")


def test_fixing_needs_a_model_and_says_what_to_do_by_hand(chat: Terminal) -> None:
    scene(chat)
    chat.say("/findings 1 fix")
    chat.wait_for("What to do by hand")


def test_a_long_report_is_in_the_scrollback(chat: Terminal) -> None:
    scene(chat)
    chat.say("/report")
    chat.wait_for_history("Fix first")
    chat.wait_for_history("ML Test Score")
    chat.wait_for("no model was asked")  # its last line


def test_a_report_is_written_to_a_file(chat: Terminal, tmp_path: Path) -> None:
    scene(chat)
    target = tmp_path / "report.md"
    chat.say(f"/export {target}")
    chat.wait_for("Written:")
    assert "# ML Production System Implementation" in target.read_text()
    scene(chat)
    chat.say(f"/export {target}")
    chat.wait_for("replace it")
    chat.wait_for("press a letter")
    chat.send("n")
    chat.wait_for("was left alone")


def test_the_permission_mode_is_changed_by_a_command_and_by_a_key(chat: Terminal) -> None:
    scene(chat)
    chat.say("/permissions accept-edits")
    chat.wait_for("mode accept-edits ·")
    chat.send("shift-tab")
    chat.wait_for("mode read-only ·")
    chat.send("shift-tab")
    chat.wait_for("mode ask ·")


def test_the_menu_offers_commands_with_what_they_do(chat: Terminal) -> None:
    scene(chat)
    chat.send("/re")
    chat.wait_for("Review the repository")
    picture(chat, "menu", "Commands are completed")
    chat.send("tab", "enter")
    chat.wait_for("› /review")
    chat.send("ctrl-c")
    chat.wait_gone("› /review")


def test_a_path_is_completed(chat: Terminal) -> None:
    scene(chat)
    chat.send("look at @trn")
    chat.wait_for("src/train.py")
    chat.send("tab", "enter")
    chat.wait_for("› look at @src/train.py")
    chat.send("ctrl-c")
    chat.wait_gone("look at")
