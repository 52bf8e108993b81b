"""Peers: the six that ship, a user's own over them, files of Claude Code, and broken files by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.delegation.peers import Peer, PeerError, built_in, load_peers, parse_peer
from ml_engineer.delegation.routes import PEERS

KNOWN_TOOLS = {"LS", "Read", "Grep", "Glob", "Bash", "Write", "Edit", "MultiEdit"}


def file(fields: str, body: str = "You know.") -> str:
    return f"---\n{fields}\n---\n{body}\n"


def test_the_six_ship_with_expertise_refusals_and_evidence() -> None:
    peers = built_in().peers
    assert sorted(peers) == sorted(PEERS)
    for peer in peers.values():
        assert peer.tools is not None
        assert set(peer.tools) <= KNOWN_TOOLS
        headings = [line for line in peer.prompt.splitlines() if line.startswith("## ")]
        assert headings == ["## What you look at", "## What you return", "## What you refuse", "## Evidence"]
        assert len(peer.prompt) > 1500
        assert peer.summary.endswith(".")


def test_tools_as_a_line_or_as_a_list_or_not_at_all() -> None:
    line = parse_peer(file("name: a\ndescription: d\ntools: Read, Grep ,Glob"), "f")
    listed = parse_peer(file("name: a\ndescription: d\ntools:\n  - Read\n  - Grep\n  - Glob"), "f")
    flow = parse_peer(file("name: a\ndescription: d\ntools: [Read, Grep, Glob]"), "f")
    assert line.tools == listed.tools == flow.tools == ("Read", "Grep", "Glob")
    assert parse_peer(file("name: a\ndescription: d"), "f").tools is None


def test_fields_that_we_do_not_know_are_ignored() -> None:
    text = file(
        "name: a\ndescription: d\ncolor: blue\nhooks:\n  PreToolUse: [{matcher: Bash}]\nmaxTurns: 5\nmodel: haiku"
    )
    assert parse_peer(text, "f") == Peer("a", "d", "You know.", None, "haiku", "f")


@pytest.mark.parametrize("more", ["", "\ncolor: blue", "\ntools: [Read]", "\ntools:\n- Read"])
def test_plain_text_with_a_colon_and_quotes_is_read_as_it_stands(more: str) -> None:
    description = 'Use when: it\'s late. Examples: <e>user: "hi"</e> # not a comment'
    assert parse_peer(file(f"name: a\ndescription: {description}{more}"), "f").description == description


def test_block_text_and_quoted_text_are_yaml() -> None:
    assert parse_peer(file("name: a\ndescription: |\n  One.\n  Two: three."), "f").description == "One.\nTwo: three."
    assert parse_peer(file('name: "a"\ndescription: "d: e"'), "f").description == "d: e"


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    text = "\ufeff" + file("name: a\ndescription: d\ntools: Read").replace("\n", "\r\n")
    assert parse_peer(text, "f").tools == ("Read",)


BROKEN = {
    "no frontmatter": ("You know.", "no frontmatter"),
    "never closed": ("---\nname: a\n", "no frontmatter"),
    "no name": (file("description: d"), "name is None"),
    "name with a path": (file("name: ../../etc\ndescription: d"), "name is '../../etc'"),
    "name of another type": (file("name: [a]\ndescription: d"), "name is"),
    "no description": (file("name: a"), "no description"),
    "no prompt": (file("name: a\ndescription: d", body=" "), "no text below"),
    "tools of another type": (file("name: a\ndescription: d\ntools: {Read: 1}"), "tools is"),
    "model of another type": (file("name: a\ndescription: d\nmodel: [x]"), "model of a"),
    "a list": (file("- a\n- b"), "no fields"),
    "no YAML": (file("name: [a\ndescription: d"), "no YAML in line"),
    "a tag that makes objects": (file("name: !!python/object/apply:os.system [id]\ndescription: d"), "name is '!!"),
}


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_reported_by_name(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"the-file\.md"):
        parse_peer(text, "the-file.md")
    (tmp_path / "broken.md").write_text(text)
    (tmp_path / "good.md").write_text(file("name: good\ndescription: d"))
    directory = load_peers([tmp_path])
    assert "good" in directory.peers
    (problem,) = directory.problems
    assert str(tmp_path / "broken.md") in problem
    assert says in problem


def test_a_later_folder_overrides_by_name_and_adds(tmp_path: Path) -> None:
    first, second = tmp_path / "claude", tmp_path / "own"
    (first / "team").mkdir(parents=True)
    second.mkdir()
    (first / "team" / "x.md").write_text(file("name: data-scientist\ndescription: theirs"))
    (first / "auditor.md").write_text(file("name: security-auditor\ndescription: audits"))
    (second / "y.md").write_text(file("name: data-scientist\ndescription: mine"))
    peers = load_peers([first, second, tmp_path / "not-there"]).peers
    assert peers["data-scientist"].description == "mine"
    assert peers["data-scientist"].source == str(second / "y.md")
    assert peers["security-auditor"].source == str(first / "auditor.md")
    assert peers["data-engineer"].source == "built in"


def test_a_file_that_cannot_be_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00---")
    (tmp_path / "huge.md").write_bytes(b"-" * 1_000_001)
    problems = load_peers([tmp_path]).problems
    assert len(problems) == 2
    assert "cannot be read" in problems[0]
    assert "larger than" in problems[1]


@given(st.text(max_size=300))
def test_any_text_is_a_peer_or_an_error_of_ours(text: str) -> None:
    for candidate in (text, f"---\n{text}\n---\nbody", f"---\nname: a\ndescription: {text}\n---\nbody"):
        try:
            peer = parse_peer(candidate, "f")
        except PeerError as error:
            assert str(error).startswith("f: ")
        else:
            assert peer.name
            assert peer.prompt
