"""Which repositories the words of the command line name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.interfaces.batch.sources import Source, SourceError, find_sources, source_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*words: str, **options: str) -> str:
    with pytest.raises(SourceError) as error:
        find_sources(words, **options)  # type: ignore[arg-type]
    return str(error.value)


def test_folders_and_patterns_of_folders(here: Path) -> None:
    assert [s.place for s in find_sources(["t*", "one"])] == [str(here / n) for n in ("three", "two", "one")]
    assert [s.name for s in find_sources([f"{here}/*e"])] == ["one", "three"]
    assert "no folder is named like this" in refused("z*")


def test_the_same_repository_is_reviewed_once(here: Path) -> None:
    (here / "link").symlink_to("one")
    assert len(find_sources(["one", "./one", str(here / "one"), "o*", "link"])) == 1
    urls = [
        "https://git.example.org/team/model.git",
        "git@git.example.org:team/model",
        "ssh://git@git.example.org/team/model/",
    ]
    assert len(find_sources(urls)) == 1
    assert len(find_sources([*urls, "https://git.example.org/team/other"])) == 2


def test_what_git_fetches(here: Path) -> None:
    for url in (
        "https://h.example/a/b.git",
        "ssh://git@h.example:22/a/b",
        "git@h.example:a/b.git",
        "file:///srv/b.git",
    ):
        (source,) = find_sources([url])
        assert (source.kind, source.place, source.name) == ("git", url, "b")
    for host in ("https://h.example", "https://h.example/"):
        assert source_of("team/model", host=host).place == "https://h.example/team/model"
    assert source_of("team/model", host="git@h.example:").place == "git@h.example:team/model"
    (here / "team" / "model").mkdir(parents=True)
    assert source_of("team/model", host="https://h.example").kind == "path"


def test_a_bare_repository_and_a_revision_are_cloned(here: Path) -> None:
    bare = here / "bare.git"
    for name in ("objects", "refs"):
        (bare / name).mkdir(parents=True)
    (bare / "HEAD").touch()
    assert find_sources([str(bare)])[0].place == bare.as_uri()
    assert source_of("one", revision="v1").place == (here / "one").as_uri()


def test_a_credential_is_refused_and_not_repeated(here: Path) -> None:
    for url in ("https://me:s3cret@h.example/a", "https://s3cret@h.example/a", "ssh://me:s3cret@h.example/a",
                "https://h.example/a?token=s3cret"):  # fmt: skip
        message = refused(url)
        assert "credential helpers" in message
        assert "s3cret" not in message


@pytest.mark.parametrize(
    "word", ["ext::sh -c touch% x", "ftp://h.example/a", "https://h.example/a b", "-oProxyCommand=x", "--upload-pack=x",
             "file.py", "nowhere", "https://[::1", "https://h.example:port/x"],
)  # fmt: skip
def test_what_is_no_source_is_refused(here: Path, word: str) -> None:
    assert refused(word)


def test_a_name_without_a_host_says_what_to_do(here: Path) -> None:
    assert "--host" in refused("team/model")


def test_lists(here: Path) -> None:
    (here / "a.txt").write_text("# ours\none\n\nhttps://h.example/a.git\n")
    (here / "b.csv").write_text(
        'URL, revision, scope, owner, tier\nhttps://h.example/b.git, v1, services/api, risk, 1\n"two",,,,\n'
    )
    rows = [{"path": "three", "owner": "ads"}, "https://h.example/c.git"]
    (here / "c.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (here / "below").mkdir()
    (here / "below" / "d.txt").write_text("../one\n")
    found = find_sources(["a.txt", "b.csv", "c.jsonl", "below/d.txt"])
    assert [source.name for source in found] == ["one", "a", "b/services/api", "two", "three", "c"]
    b = found[2]
    assert (b.revision, b.scope, b.owner, b.labels) == ("v1", "services/api", "risk", {"tier": "1"})
    assert found[4].owner == "ads"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "one\nnowhere\n", "line 2"),
        ("a.txt", "# nothing\n", "empty"),
        ("a.csv", "name,owner\nx,y\n", "first line"),
        ("a.csv", "url,owner\n,me\n", "line 2"),
        ("a.csv", "url\none,two\n", "more fields"),
        ("a.csv", 'url\n"one\n', "no CSV"),
        ("a.jsonl", '"one"\n{\n', "line 2"),
        ("a.jsonl", "[1]\n", "object"),
        ("a.csv", "url,scope\none,../two\n", "inside the repository"),
        ("a.csv", "url,revision\none,--upload-pack=x\n", "no branch"),
    ],
)
def test_a_wrong_list_says_the_line(here: Path, name: str, text: str, said: str) -> None:
    (here / name).write_text(text)
    assert said in refused(name)


def test_a_list_of_other_bytes_is_refused(here: Path) -> None:
    (here / "a.txt").write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused("a.txt")


def test_include_and_exclude(here: Path) -> None:
    words = ["one", "two", "three", "https://h.example/team/a", "https://h.example/x/b"]
    assert [s.name for s in find_sources(words, include=["t*"])] == ["two", "three"]
    assert [s.name for s in find_sources(words, exclude=["t*", "*/team/*"])] == ["one", "b"]
    with pytest.raises(SourceError, match="leave none"):
        find_sources(words, include=["z"])


def test_the_folder_of_a_source_does_not_depend_on_the_others(here: Path) -> None:
    alone = find_sources(["one"])[0].folder
    assert alone in {source.folder for source in find_sources(["two", "three", "one"])}
    assert len({source_of(f"https://{h}.example/x/one").folder for h in "abcd"}) == 4


@given(st.text(min_size=1, max_size=60))
def test_any_word_is_a_source_or_refused_and_its_folder_is_harmless(word: str) -> None:
    try:
        found = source_of(f"https://h.example/{word}")
    except SourceError:
        return
    assert "/" not in found.folder
    assert found.folder not in (".", "..")
    assert Source(**json.loads(json.dumps(found.record()))) == found
