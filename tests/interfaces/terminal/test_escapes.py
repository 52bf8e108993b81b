"""What others wrote cannot drive the terminal: file names, contents, a model's words, a tool's output, an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interfaces.terminal.conftest import model_settings, scene, serving
from tests.support.paced_server import Play, Plays
from tests.support.script import Fault, call, text
from tests.support.terminal import Terminal, clean_environment

# A title, the clipboard, the alternate screen, a device report, colours, C1, a bell, a carriage return, bidi, a link.
EVIL = (
    "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[?1049h\x1b[5n\x1b[35;45m\x9b6n\x07\r\u202e\x1b]8;;http://evil/\x1b\\go"
)
NAME = "bad\x1b]0;owned\x07\u202e.py"
PLAYS: dict[str, Play] = {
    "#model": [
        [
            text(
                f"# {EVIL}\n\nplain {EVIL} **{EVIL}**\n\n```python\n{EVIL}\n```\n\n| a |\n|---|\n| {EVIL} |\n"
                "\nmodel-is-over"
            )
        ]
    ],
    "#link": [[text("[harmless](http://example.org/\x1b]0;owned\x07)\n\nlink-is-over")]],
    "#tool": [[call("Read", file_path=NAME)], [text("tool-is-over")]],
    "#bash": [[call("Bash", command=f"cat '{NAME}'; exit 3")], [text("bash-is-over")]],
    "#call": [[call(f"No{EVIL}", file_path=EVIL), call("Glob", pattern=f"*{EVIL}*")], [text("call-is-over")]],
    "#edit": [
        [call("Read", file_path=NAME)],
        [call("Edit", file_path=NAME, old_string="x = 1", new_string=f"x = 2  # {EVIL}")],
        [text("edit-is-over")],
    ],
    "#ask": [[call("Bash", command=f"touch '{EVIL}'")], [text("ask-is-over")]],
    "#plan": [
        [call("UpdatePlan", items=[{"text": f"a step {EVIL}", "state": "active"}])],
        [text("plan-is-over")],
    ],
    "#error": [Fault("status", 400, error_type=f"bad{EVIL}")],
}


@pytest.fixture(scope="module", params=["drawn", "plain"])
def chat(request: pytest.FixtureRequest, place: Path) -> Iterator[Terminal]:
    root = place / "prototype"
    (root / NAME).write_text(f"x = 1\ny = '{EVIL}'\nimport pickle\nz = pickle.load(open('{EVIL}'))\n", newline="")
    options = ["--plain"] if request.param == "plain" else []
    with serving(Plays(PLAYS)) as server:
        environment = clean_environment(place, **model_settings(server))
        with Terminal(["chat", root, *options], environment, columns=100, rows=44) as terminal:
            terminal.wait_for("you:" if options else "mode ask")
            yield terminal


def drives(raw: bytes) -> list[str]:
    """What a terminal would obey beside colours, cursor moves and modes that are ours."""
    shown = raw.decode("utf-8", "replace")
    ours = r"\x1b\[[0-9;]*[ABCDHJKm]|\x1b\[\?(?:25|12|7|1|2004|2026)[hl]|\x1b\[\d* q|\x1b\[\d+[GPX]|\r|\x08"
    return re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", re.sub(ours, "", shown))


@pytest.mark.parametrize("word", [word for word in PLAYS if word != "#error"])
def test_a_turn_with_hostile_text(chat: Terminal, word: str) -> None:
    over = f"{word[1:]}-is-over"
    begin(chat)
    before = chat.history.count("Allow it?")
    chat.say(word)
    if word in ("#ask", "#edit", "#call", "#bash"):
        chat.wait(lambda: chat.history.count("Allow it?") > before, "the question")
        if not chat.plain:
            chat.wait_for("press a letter")
        assert "owned" in chat.screen
        answer(chat, "y" if word == "#bash" else "n")
    chat.wait_for(over)
    unharmed(chat)


def test_an_error_with_hostile_text(chat: Terminal) -> None:
    begin(chat)
    chat.say("#error")
    chat.wait_for("rejects the request")
    unharmed(chat)


def test_findings_in_hostile_files(chat: Terminal) -> None:
    begin(chat)
    chat.say("/findings")
    if chat.plain:
        chat.wait_for("/findings NUMBER fix")
    else:
        chat.wait_for("Findings, 1 of")
        chat.wait_for("q leave")
        chat.send(*["down"] * 30)
        chat.wait_for("bad\\x1b")
        chat.send("q")
        chat.wait_gone("q leave")
    unharmed(chat)


def test_a_hostile_name_is_completed_visibly(chat: Terminal) -> None:
    if chat.plain:
        return
    begin(chat)
    chat.send("@bad")
    chat.wait_for("bad\\x1b")
    chat.send("ctrl-c")
    unharmed(chat)


def begin(chat: Terminal) -> None:
    if not chat.plain:
        scene(chat)


def answer(chat: Terminal, key: str) -> None:
    chat.send(key, *(["enter"] if chat.plain else []))


def unharmed(chat: Terminal) -> None:
    assert chat.title == ""
    assert drives(bytes(chat.raw)) == []
    assert b"\x1b[35;45m" not in chat.raw
