"""The parts of the terminal without a terminal: Markdown in pieces, painting, characters, pastes, previews, panels."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.text import Text

from ml_engineer.interfaces.terminal import calls
from ml_engineer.interfaces.terminal.blocks import renderables, rows
from ml_engineer.interfaces.terminal.completion import Paths
from ml_engineer.interfaces.terminal.console import Choice
from ml_engineer.interfaces.terminal.device import Device
from ml_engineer.interfaces.terminal.history import NAME, open_history
from ml_engineer.interfaces.terminal.markdown import Block, Cutter
from ml_engineer.interfaces.terminal.paint import Painter, locked
from ml_engineer.interfaces.terminal.panels import ChoicePanel, clip, wrapped
from ml_engineer.interfaces.terminal.paste import Pastes
from ml_engineer.interfaces.terminal.preview import preview
from ml_engineer.interfaces.terminal.printing import Folded, Folds

UTF8 = Device(drawn=True, interactive=True, colour="256", encoding="utf-8")
LINES = st.sampled_from(
    [
        *(
            "# Title",
            "some *words* `code`",
            "- item",
            "  1. nested",
            "> quote",
            "```python",
            "```",
            "~~~",
            "    indented",
        ),
        *("| a | b |", "|---|---|", "", "---", "* * *", "\x1b[2J evil", "long " * 40, "**", "[a](b)", "\t", "x" * 9000),
    ]
)
DOCUMENTS = st.lists(LINES, max_size=30).map("\n".join)


def cut(*pieces: str) -> list[Block]:
    cutter = Cutter()
    return [block for piece in pieces for block in cutter.feed(piece)] + cutter.finish()


def painted(text: str, width: int = 60) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", Painter(UTF8).paint(Group(*renderables(cut(text))), width))


# --- Markdown ---------------------------------------------------------------------------------------------------------


@given(DOCUMENTS, st.lists(st.integers(0, 400), max_size=8))
def test_the_pieces_in_which_a_text_comes_make_no_difference(text: str, places: list[int]) -> None:
    at = sorted({0, len(text), *(place for place in places if place < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(at)]
    assert cut(*pieces) == cut(text)


@given(DOCUMENTS)
def test_the_tail_is_what_would_come_and_changes_nothing(text: str) -> None:
    cutter = Cutter()
    done = cutter.feed(text)
    tail = cutter.tail
    assert cutter.tail == tail
    assert done + tail == cut(text)


@given(DOCUMENTS, st.integers(20, 120))
def test_painted_markdown_has_colours_only_and_fits(text: str, width: int) -> None:
    shown = Painter(UTF8).paint(Group(*renderables(cut(text))), width)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain)
    assert all(len(line.rstrip()) <= width for line in plain.split("\n"))


def test_a_list_of_ten_thousand_items_is_never_held_back() -> None:
    cutter = Cutter()
    for number in range(10_000):
        cutter.feed(f"- item {number}\n")
        assert len(cutter.tail) <= 1


def test_a_paragraph_that_does_not_end_is_cut() -> None:
    cutter = Cutter()
    given_out = sum(len(cutter.feed(f"line {number}\n")) for number in range(1000))
    assert given_out >= 1000 // 24
    assert len(cutter.feed("word " * 5000)) >= 5


def test_lists_keep_their_indentation_and_numbers() -> None:
    assert painted("1. one\n   - in it\n2. two") == "1. one\n   • in it\n2. two\n"


def test_an_item_hangs_under_its_mark() -> None:
    assert painted("- " + "word " * 8, 22) == "• word word word word\n  word word word word\n"


def test_code_keeps_every_space_and_no_fence() -> None:
    assert painted("```python\ndef f():\n    return 1\n```") == "\n  def f():\n      return 1\n"


def test_a_link_shows_where_it_leads() -> None:
    assert painted("[here](http://example.org/x)") == "here (http://example.org/x)\n"


def test_a_table_is_stacked_where_it_has_no_room() -> None:
    table = rows(["agent", "what it has cost so far"], [["ml-engineer", "nothing at all, to speak of"]])
    wide = Painter(UTF8).paint(table, 80)
    assert "agent         what it has cost" in re.sub(r"\x1b\[[0-9;]*m", "", wide)
    narrow = re.sub(r"\x1b\[[0-9;]*m", "", Painter(UTF8).paint(table, 24))
    assert narrow.startswith("agent: ml-engineer\n")


# --- characters -------------------------------------------------------------------------------------------------------


@given(st.text())
def test_nothing_but_colours_passes_the_lock(text: str) -> None:
    rest = re.sub(r"\x1b\[[0-9;]{0,40}m", "", locked(text))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", rest)


def test_the_lock_holds_for_what_rich_lets_through() -> None:
    assert "\x1b]0" not in Painter(UTF8).paint(Text("\x1b]0;owned\x07"), 40)


@pytest.mark.parametrize(
    ("environment", "interactive", "encoding"),
    [
        ({"LANG": "C.UTF-8"}, True, "utf-8"),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, True, "ascii"),
        ({}, True, "ascii"),
        ({}, False, "utf-8"),
        ({"LC_CTYPE": "de_DE.ISO-8859-1"}, True, "iso8859-1"),
        ({"LANG": "xx.no-such-charset"}, True, "ascii"),
        ({"LANG": "C.UTF-8", "PYTHONIOENCODING": "ascii:strict"}, True, "ascii"),
    ],
)
def test_the_locale_decides_about_characters(environment: dict[str, str], interactive: bool, encoding: str) -> None:
    from ml_engineer.interfaces.terminal.device import _encoding

    assert _encoding(environment, interactive) == encoding


@given(st.text())
def test_what_fits_a_charset_can_be_written_in_it(text: str) -> None:
    for encoding in ("ascii", "iso8859-1"):
        Device(True, True, "none", encoding).fit(text).encode(encoding)


# --- typing -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1), max_size=4))
def test_pastes_come_back_whole(texts: list[str]) -> None:
    pastes = Pastes()
    shown = [pastes.collapse(f"{text}\n" * 20) for text in texts]
    assert all(len(one) < 60 for one in shown)
    whole = [f"{text}\n".replace("\r\n", "\n").replace("\r", "\n") * 20 for text in texts]
    assert pastes.expand(" and ".join(shown)) == " and ".join(whole)


def test_a_marker_typed_by_hand_stays() -> None:
    pastes = Pastes()
    pastes.collapse("line\n" * 20)
    for marker in ("[pasted 3 lines #7]", "[pasted 3 lines #1]"):
        assert pastes.expand(marker) == marker


def test_a_history_that_cannot_be_written_any_more_goes_on_in_memory(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    history.append_string("kept")
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    history.append_string("said")
    assert history.get_strings()[-2:] == ["kept", "said"]


def test_paths_match_by_their_letters_file_names_first(tmp_path: Path) -> None:
    for name in ("train.py", "src/t/r/a/in/other.py", "notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = Paths(tmp_path)
    paths._list()
    assert paths.matching("train") == ["train.py", "src/t/r/a/in/other.py"]
    assert paths.matching("") == ["notes.md", "train.py", "src/t/r/a/in/other.py"]


def test_the_history_is_kept_short(tmp_path: Path) -> None:
    open_history(tmp_path).append_string("old " * 400_000)
    history = open_history(tmp_path)
    history.append_string("new")
    assert next(iter(history.load_history_strings())) == "new"
    assert (tmp_path / "chat-history").stat().st_size < 1 << 20


# --- what is shown of calls -------------------------------------------------------------------------------------------


def test_a_preview_is_the_change_that_would_be_made(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    edits = [{"old_string": "one\ntwo", "new_string": "1\n2"}, {"old_string": "three", "new_string": "3"}]
    shown = preview("MultiEdit", {"file_path": "a.py", "edits": edits}, tmp_path)
    assert shown.kind == "diff"
    assert [line for line in shown.text.split("\n") if line[:1] in "+-"][2:] == [
        "-one",
        "-two",
        "-three",
        "+1",
        "+2",
        "+3",
    ]
    new = preview("Write", {"file_path": "b.py", "content": "x\n"}, tmp_path)
    assert new.text.split("\n")[:2] == ["--- /dev/null", "+++ b/b.py"]


@pytest.mark.parametrize(
    ("name", "call", "told"),
    [
        ("Edit", {"file_path": "a.py", "old_string": "none", "new_string": "x"}, "is not in the file"),
        ("Edit", {"file_path": "a.py", "old_string": "a", "new_string": "x"}, "is there 2 times"),
        ("Edit", {"file_path": "a.py"}, "does not say what to replace"),
        ("MultiEdit", {"file_path": "a.py", "edits": 3}, "has no edits"),
        ("Write", {"file_path": "bin", "content": "x"}, "is binary"),
        ("Other", {"x": 1}, '"x": 1'),
    ],
)
def test_a_preview_of_a_call_that_cannot_be_made_says_why(
    tmp_path: Path, name: str, call: dict[str, object], told: str
) -> None:
    (tmp_path / "a.py").write_text("a\na\n")
    (tmp_path / "bin").write_bytes(b"\0\1")
    assert told in preview(name, call, tmp_path).text


def test_calls_in_a_line() -> None:
    assert calls.asked("Grep", {"pattern": "load", "path": "src"}) == "Grep load in src"
    assert len(calls.asked("Bash", {"command": "x" * 1000})) <= 160
    assert calls.outcome("Bash", {"exit_code": 1, "output": "a\nb"}, "", is_error=True, seconds=2.04) == (
        "exit 1 · 2 lines · 2 s"
    )
    refused = "Bash was refused: the user said no. Find another way."
    assert calls.outcome("Bash", {}, refused, is_error=True, seconds=0) == "refused: the user said no"
    assert calls.unquoted('<quoted from="a">\nb\n</quoted>') == "b"


def test_folded_texts_are_forgotten_from_the_oldest_on() -> None:
    folds = Folds()
    numbers = [folds.keep(Folded("title", f"{number}" * 1_000_000)) for number in range(10)]
    assert folds.find(numbers[0]) is None
    assert folds.find(None) == folds.find(numbers[-1])


# --- panels -----------------------------------------------------------------------------------------------------------


def pressed(keys: list[str], default: str | None = None) -> str | None:
    async def ask() -> str | None:
        panel = ChoicePanel("Allow it?", [Choice("y", "yes"), Choice("n", "no")], default)
        for key in keys:
            panel.press(key)
        return panel.answer.result() if panel.answer.done() else None

    return asyncio.run(ask())


def test_enter_chooses_only_what_was_pointed_at() -> None:
    assert pressed(["enter", "enter"]) is None
    assert pressed(["x", " ", "enter"]) is None
    assert pressed(["down", "enter"]) == "y"
    assert pressed(["up", "enter"]) == "n"
    assert pressed(["enter"], default="n") == "n"
    assert pressed(["Y"]) == "y"


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"])), st.integers(4, 30))
def test_clipped_text_fits(text: str, width: int) -> None:
    from prompt_toolkit.utils import get_cwidth

    assert get_cwidth(clip(text, width)) <= width
    assert " ".join(wrapped(text, width)).split() == text.split(" ") or " ".join(wrapped(text, width)) == text
