"""Folders and addresses, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.serve.common import TOKEN, Address, Refused, Roots, is_loopback

PARTS = st.sampled_from(["..", ".", "", "allowed", "repository", "escape", "outside", "deep", "~", "a\0", "x" * 300])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in ("allowed/repository/deep", "outside/deep"):
        (folder / name).mkdir(parents=True)
        (folder / name / "app.py").touch()
    (folder / "allowed" / "escape").symlink_to(folder / "outside")
    (folder / "allowed" / "repository" / "loop").symlink_to("loop")
    return folder


@given(parts=st.lists(PARTS, max_size=8), absolute=st.booleans())
def test_whatever_is_named_lies_in_the_roots_or_is_refused(tree: Path, parts: list[str], absolute: bool) -> None:
    roots = Roots.open([tree / "allowed"])
    path = (f"{tree}/" if absolute else "") + "/".join(parts)
    try:
        place = roots.resolve(path)
    except Refused as refused:
        assert str(refused)
        return
    assert place.resolve() == place
    assert place.is_relative_to(tree / "allowed")


def test_links_are_followed_before_they_are_judged(tree: Path) -> None:
    roots = Roots.open([tree / "allowed"])
    for path in ("escape", "escape/deep", "repository/../escape", str(tree / "allowed" / "escape")):
        with pytest.raises(Refused, match="outside the folders"):
            roots.resolve(path)
    with pytest.raises(Refused):
        roots.resolve("repository/loop")
    assert Roots.open([tree / "allowed" / "escape"]).resolve("deep") == tree / "outside" / "deep", "the user may"


def test_a_root_that_is_not_there_is_refused(tree: Path) -> None:
    for path in (tree / "missing", tree / "outside" / "deep" / "app.py"):
        with pytest.raises(Refusal, match="--root"):
            Roots.open([path])


@pytest.mark.parametrize(
    ("text", "token", "said"),
    [
        ("0.0.0.0:80", None, "needs a token"),
        ("[::]:80", None, "needs a token"),
        ("192.168.1.5:80", None, "needs a token"),
        ("example.org:80", None, "needs a token"),
        ("0.0.0.0:80", "short", "needs 16"),
        ("127.0.0.1:80", "short", "needs 16"),
        ("127.0.0.1", None, "HOST:PORT"),
        ("127.0.0.1:http", None, "HOST:PORT"),
        ("127.0.0.1:99999", None, "HOST:PORT"),
        (":80", None, "HOST:PORT"),
        ("http://127.0.0.1:80", None, "HOST:PORT"),
    ],
)
def test_addresses_that_are_none_or_that_others_reach(
    monkeypatch: pytest.MonkeyPatch, text: str, token: str | None, said: str
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    if token is not None:
        monkeypatch.setenv(TOKEN, token)
    with pytest.raises(Refusal, match=said):
        Address.parse(text)


def test_loopback_needs_no_token_and_others_have_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    for text in ("127.0.0.1:0", "localhost:0", "[::1]:0", "127.8.8.8:0"):
        assert Address.parse(text).token is None
    monkeypatch.setenv(TOKEN, "a-token-that-nobody-guesses")
    assert Address.parse("0.0.0.0:80").token == "a-token-that-nobody-guesses"
    assert Address.parse("[::1]:0").url(8765) == "http://[::1]:8765"
    assert not is_loopback("127.0.0.1.example.org")
