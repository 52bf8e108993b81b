"""Turns with a scripted model in a real terminal: streaming, tools, answers to permissions, stopping, queueing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interfaces.terminal.conftest import APP, model_settings, picture, scene, serving
from tests.support.paced_server import Paced, PacedServer, Plays
from tests.support.script import Fault, call, text
from tests.support.terminal import Terminal, clean_environment

MARKDOWN = """# What I found

The recall is low for **two reasons**:

1. `train.py:31` fits the scaler on all rows, so the test score says little
2. The classes are *very* uneven, and nothing weighs them

```python
def weights(y):
    # rare cases count more
    return {0: 1.0, 1: (y == 0).sum() / (y == 1).sum()}
```

| Measure | Before | After |
|---|---|---|
| Recall | 0.41 | 0.68 |
| Precision | 0.71 | 0.66 |

Shall I change it?
"""
PLAN = ["Read how the model is loaded", "Load it from a format that runs no code", "Run the tests"]


def edit(old: str, new: str) -> list[dict[str, object]]:
    return [call("Read", file_path="app.py"), call("Edit", file_path="app.py", old_string=old, new_string=new)]


def plan(done: int) -> dict[str, object]:
    states = ["done"] * done + ["active"] + ["pending"] * len(PLAN)
    items = [{"text": item, "state": state} for item, state in zip(PLAN, states, strict=False)]
    return call("UpdatePlan", items=items)


OFF = edit("debug=True", "debug=False")
PLAYS = Plays(
    {
        "#markdown": [[text(MARKDOWN)]],
        "#edit": [OFF, [text("I have switched the debugger off.")]],
        "#command": [[call("Bash", command="touch made-by-bash")], [text("The command is over.")]],
        "#twice": [
            [call("Bash", command="python -m unittest -q nothing_one")],
            [call("Bash", command="python -m unittest -q nothing_two")],
            [text("Both were run.")],
        ],
        "#read": [[text("I look."), call("Read", file_path="app.py")], [text("I have read it.")]],
        "#slow": [Paced([f"piece{number} " for number in range(400)], 0.05)],
        "#many": [Paced([f"- row {number} of many\n" for number in range(600)], 0.002)],
        "#silent": [Paced(["too late"], 0, then=120)],
        "#sleep": [[call("Bash", command="echo begun && sleep 120")], [text("Slept.")]],
        "#retry": [Fault("status", 529, retry_after=100), [text("Never.")]],
        "#short": [[text("A short answer.")]],
        "#plan": [[plan(0)], [plan(1)], [plan(3)], [text("All is done.")]],
        "#planning": [[plan(1)], Paced(["Working ", "on ", "it "], 0.05, then=60)],
        "#refused": [[call("Bash", command="git push --force origin main")], [text("I leave it.")]],
    }
)


@pytest.fixture(scope="module")
def server() -> Iterator[PacedServer]:
    with serving(PLAYS) as running:
        yield running


@pytest.fixture(scope="module")
def chat(server: PacedServer, place: Path) -> Iterator[Terminal]:
    environment = clean_environment(place, **model_settings(server))
    with Terminal(["chat", place / "prototype"], environment, columns=90, rows=40) as terminal:
        terminal.wait_for("mode ask")
        yield terminal


@pytest.fixture(autouse=True)
def afresh(chat: Terminal, app: Path) -> None:
    """Each scene begins with an idle prompt and with the file as it was."""
    app.write_text(APP)
    scene(chat)


@pytest.fixture
def app(place: Path) -> Path:
    return place / "prototype" / "app.py"


# --- answers and tools ------------------------------------------------------------------------------------------------


def test_markdown_is_drawn(chat: Terminal) -> None:
    chat.say("why is the recall so low? #markdown")
    chat.wait_for("Shall I change it?")
    chat.wait_gone("Ctrl-C stops it")
    assert "1. train.py:31 fits the scaler" in chat.screen
    assert "**" not in chat.screen
    assert "Recall      0.41     0.68" in chat.screen
    picture(chat, "answer", "An answer in Markdown")


def test_an_answer_is_shown_while_it_streams(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece3 ")
    assert "piece300" not in chat.screen
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")


def test_every_line_stands_in_the_scrollback_once_whatever_is_typed_meanwhile(chat: Terminal) -> None:
    chat.say("#many")
    for key in "typed meanwhile":
        chat.send(key)
        chat.wait_for("Ctrl-C stops it")
    chat.wait_for("row 599 of many")
    chat.wait_gone("Ctrl-C stops it")
    rows = re.findall(r"^• row (\d+) of many$", chat.history, re.MULTILINE)
    assert [int(row) for row in rows] == list(range(600))
    assert "› typed meanwhile" in chat.screen
    chat.send("ctrl-c")


def test_a_tool_call_is_one_line_that_unfolds(chat: Terminal) -> None:
    chat.say("#read")
    chat.wait_for("I have read it.")
    assert "● Read app.py  15 lines  #" in chat.screen
    assert "import pickle" not in chat.screen
    chat.send("ctrl-o")
    chat.wait_for("import pickle")


def test_a_plan_ticks_off(chat: Terminal) -> None:
    chat.say("#plan")
    chat.wait_for("All is done.")
    chat.wait_for("✓ Run the tests")


def test_a_plan_stands_above_the_input_while_it_is_worked_on(chat: Terminal) -> None:
    chat.say("load the model safely #planning")
    chat.wait_for("◐ Load it from a format that runs no code")
    chat.wait_for("Working on")
    assert "✓ Read how the model is loaded" in chat.screen
    assert "step 2 of 3" in chat.screen
    picture(chat, "plan", "A plan that ticks off, while the answer streams")
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")


# --- permissions ------------------------------------------------------------------------------------------------------


def test_a_change_is_shown_before_it_is_allowed_once(chat: Terminal, app: Path) -> None:
    chat.say("switch the debugger off #edit")
    chat.wait_for("press a letter")
    assert "-    app.run(debug=True)" in chat.screen
    assert "+    app.run(debug=False)" in chat.screen
    picture(chat, "permission", "A change is shown before it is made")
    assert app.read_text() == APP
    chat.send("y")
    chat.wait_for("I have switched the debugger off.")
    assert "debug=False" in app.read_text()
    chat.say("/undo")
    chat.wait_for("Taken back")
    assert app.read_text() == APP


def test_enter_alone_approves_nothing(chat: Terminal, place: Path) -> None:
    chat.say("#command")
    chat.wait_for("press a letter")
    assert "touch made-by-bash" in chat.screen
    chat.send("enter", "enter", " ", "x", "enter")
    chat.send("n")
    chat.wait_for("Allow it? deny")
    chat.wait_for("The command is over.")
    assert not (place / "prototype" / "made-by-bash").exists()


def test_the_arrows_and_enter_choose(chat: Terminal, place: Path) -> None:
    chat.say("#command")
    chat.wait_for("press a letter")
    chat.send("down")
    chat.wait_for("› y")
    chat.send("enter")
    chat.wait_for("The command is over.")
    made = place / "prototype" / "made-by-bash"
    assert made.exists()
    made.unlink()


def test_a_kind_is_allowed_for_the_run(chat: Terminal) -> None:
    chat.say("#twice")
    chat.wait_for("allow `python -m unittest …` for this run")
    chat.wait_for("press a letter")
    chat.send("a")
    chat.wait_for("Both were run.")
    assert chat.screen.count("asks for permission") == 1
    chat.say("/clear")  # the kind is allowed for the run, and this begins another
    chat.wait_gone("Both were run.")
    chat.say("#twice")
    chat.wait_for("press a letter")
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")


def test_a_denial_with_a_word_reaches_the_model(chat: Terminal, server: PacedServer, app: Path) -> None:
    chat.say("#edit")
    chat.wait_for("press a letter")
    chat.send("t")
    chat.wait_for("What should the model know?")
    chat.say("leave the debugger alone")
    chat.wait_for("I have switched")
    assert app.read_text() == APP
    assert "leave the debugger alone" in str(server.requests[-1].body["messages"][-1])


def test_a_command_that_never_passes_by_a_kind_is_asked_for(chat: Terminal) -> None:
    chat.say("#refused")
    chat.wait_for("git push --force")
    chat.wait_for("press a letter")
    chat.send("n")
    chat.wait_for("I leave it.")


def test_what_is_being_typed_is_not_taken_for_an_answer(chat: Terminal, place: Path) -> None:
    chat.say("#command")
    chat.send("yes and then")  # before the question is there, and while it comes
    chat.wait_for("press a letter")
    assert not (place / "prototype" / "made-by-bash").exists()
    chat.wait(lambda: "press a letter" in chat.screen, "the question, still open")
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")
    chat.wait_for("› yes and then")
    chat.send("ctrl-c")
    chat.wait_gone("yes and then")


def test_a_paste_is_no_answer_and_is_not_lost(chat: Terminal, place: Path) -> None:
    chat.say("#command")
    chat.wait_for("press a letter")
    chat.paste("y")
    chat.wait_gone("press a letter")  # for a moment: somebody types
    chat.wait_for("Allow it?")
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")
    assert not (place / "prototype" / "made-by-bash").exists()
    chat.wait_for("› y")
    chat.send("ctrl-c")
    chat.wait_gone("› y")


# --- stopping ---------------------------------------------------------------------------------------------------------


def stops(chat: Terminal) -> None:
    """Ctrl-C stops the turn, and the conversation goes on."""
    chat.send("ctrl-c")
    chat.wait_for("Stopped. What was done is kept")
    chat.say("#short")
    chat.wait_for("A short answer.")


def test_stop_before_the_first_word(chat: Terminal) -> None:
    chat.say("#silent")
    chat.wait_for("Ctrl-C stops it")
    stops(chat)


def test_stop_in_the_middle_of_an_answer(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece5 ")
    stops(chat)
    assert "piece5" in chat.screen


def test_stop_while_a_command_runs(chat: Terminal) -> None:
    chat.say("#sleep")
    chat.wait_for("Bash echo begun && sleep 120 (")
    stops(chat)


def test_stop_at_a_permission(chat: Terminal, place: Path) -> None:
    chat.say("#command")
    chat.wait_for("press a letter")
    stops(chat)
    assert not (place / "prototype" / "made-by-bash").exists()


def test_stop_while_a_word_to_the_model_is_typed(chat: Terminal) -> None:
    chat.say("#command")
    chat.wait_for("press a letter")
    chat.send("t")
    chat.wait_for("What should the model know?")
    stops(chat)


def test_stop_while_it_waits_to_ask_again(chat: Terminal) -> None:
    chat.say("#retry")
    chat.wait_for(" s before asking again")
    stops(chat)


def test_ctrl_c_pressed_in_impatience_stops_and_does_not_leave(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece2 ")
    chat.send("ctrl-c", "ctrl-c")
    chat.wait_for("Stopped.")
    chat.send("ctrl-c", "ctrl-c")
    chat.say("#short")
    chat.wait_for("A short answer.")


def test_ctrl_c_at_an_idle_prompt_empties_the_line_first(chat: Terminal) -> None:
    chat.send("some words")
    chat.wait_for("› some words")
    chat.send("ctrl-c")
    chat.wait_gone("some words")
    chat.send("ctrl-c")
    chat.wait_for("Press Ctrl-C again to leave")
    chat.say("#short")
    chat.wait_for("A short answer.")


# --- typing -----------------------------------------------------------------------------------------------------------


def test_what_is_typed_while_it_works_is_queued(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece2 ")
    chat.say("#short and then this")
    chat.wait_for("queued: #short and then this")
    picture(chat, "queue", "What is typed meanwhile waits its turn")
    chat.send("ctrl-c")
    chat.wait_for("A short answer.")


def test_ctrl_d_says_first_that_messages_wait(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece2 ")
    chat.say("#short and then this")
    chat.wait_for("queued: #short and then this")
    chat.send("ctrl-d")
    chat.wait_for("1 message not sent yet; Ctrl-D again leaves")
    chat.send("ctrl-c")
    chat.wait_for("A short answer.")


def test_a_queued_message_is_taken_back(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece2 ")
    chat.say("#short but wait")
    chat.wait_for("queued: #short")
    chat.send("up")
    chat.wait_gone("queued:")
    chat.wait_for("› #short but wait")
    chat.send("ctrl-c")
    chat.wait_for("Stopped.")
    chat.send("ctrl-c")
    chat.wait_gone("but wait")


def test_a_message_of_several_lines(chat: Terminal, server: PacedServer) -> None:
    chat.send("first\\", "enter", "second", "alt-enter", "third", "ctrl-j", "#short", "enter")
    chat.wait_for("A short answer.")
    assert "first\nsecond\nthird\n#short" in server.requests[-1].body["messages"][-1]["content"][-1]["text"]


def test_a_long_paste_is_shown_as_a_marker_and_sent_whole(chat: Terminal, server: PacedServer) -> None:
    pasted = "\r\n".join(f"pasted line {number}" for number in range(120))
    chat.send("look: ")
    chat.paste(pasted)
    chat.wait_for("[pasted 120 lines #")
    chat.say(" #short")
    chat.wait_for("A short answer.")
    assert "pasted line 7" not in chat.screen
    assert "pasted line 7\npasted line 8" in server.requests[-1].body["messages"][-1]["content"][-1]["text"]


def test_the_arrow_brings_back_a_paste_as_it_was_in_the_next_chat_too(chat: Terminal, place: Path) -> None:
    chat.send("#short look: ")
    chat.paste("\n".join(f"old line {number}" for number in range(20)))
    chat.send("enter")
    chat.wait_for("A short answer.")
    with Terminal(["chat", place / "prototype"], clean_environment(place)) as following:
        following.wait_for("mode ask")
        following.paste("\n".join(f"new line {number}" for number in range(20)))
        following.wait_for("[pasted 20 lines #1]")
        following.send("ctrl-c")
        following.wait_gone("[pasted")
        following.send("up")
        following.wait_for("old line 19")


def test_the_arrow_brings_back_what_was_said(chat: Terminal) -> None:
    chat.say("#short once more")
    chat.wait_for("A short answer.")
    chat.wait_gone("Ctrl-C stops it")
    chat.send("up")
    chat.wait(lambda: chat.screen.count("#short once more") == 2, "the message in the input")
    chat.send("ctrl-c")


def test_a_resize_while_it_streams(chat: Terminal) -> None:
    chat.say("#slow")
    chat.wait_for("piece2 ")
    for columns, rows in ((60, 20), (110, 30), (45, 12), (90, 40)):
        chat.resize(columns, rows)
    chat.wait_for("piece40 ")
    assert chat.screen.count("Ctrl-C stops it") == 1
    assert chat.screen.count("mode ask") == 1
    stops(chat)
