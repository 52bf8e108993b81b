"""Copies of repositories that git fetches: one commit, whole, without running anything, and never in the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.interfaces.batch import clone
from ml_engineer.interfaces.batch.clone import Cache, FetchError, fetched, revision_of, trim
from ml_engineer.interfaces.batch.sources import source_of

Origin = Callable[..., str]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def names(url: str, cache: Cache, revision: str | None = None) -> list[str]:
    source = source_of(url, revision=revision)
    with fetched(source, cache, revision_of(source)) as copy:
        return sorted(path.name for path in copy.root.iterdir())


def test_revisions_become_full_commits(origin: Origin, cache: Cache) -> None:
    url = origin("a")
    first = origin("a", "rev-parse", "HEAD")
    origin("a", "tag", "-a", "v1", "-m", "annotated")
    origin("a", "commit", "-q", "--allow-empty", "-m", "second")
    second = origin("a", "rev-parse", "HEAD")
    found = {
        name: revision_of(source_of(url, revision=name)) for name in (None, "main", "v1", "refs/heads/main", first)
    }
    assert found == {None: second, "main": second, "v1": first, "refs/heads/main": second, first: first}
    for name in ("v2", first[:8]):
        with pytest.raises(FetchError, match="no branch or tag") as error:
            revision_of(source_of(url, revision=name))
        assert not error.value.again


@pytest.mark.parametrize("name", [None, "v1"])
def test_a_copy_has_the_files_of_its_commit_and_no_history(origin: Origin, cache: Cache, name: str | None) -> None:
    url = origin("a")
    origin("a", "commit", "-q", "--allow-empty", "-m", "second")
    origin("a", "tag", "v1")
    source = source_of(url, revision=name)
    revision = revision_of(source)
    with fetched(source, cache, revision) as copy:
        git = ["git", "-C", str(copy.root)]
        shown = subprocess.run([*git, "log", "--format=%H"], capture_output=True, text=True, check=True).stdout
        status = subprocess.run([*git, "status", "--short"], capture_output=True, text=True, check=True).stdout
    assert (shown.split(), status) == ([revision], "")
    assert names(url, cache, name) == [".git", "app.py", "requirements.txt"]


def test_a_large_file_stays_at_the_server(
    origin: Origin, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "BLOB_LIMIT", 10_000)
    url = origin("a")
    origin("a", "config", "uploadpack.allowFilter", "true")
    (tmp_path / "origins" / "a" / "model.bin").write_bytes(os.urandom(20_000))
    origin("a", "add", ".")
    origin("a", "commit", "-q", "-m", "large")
    assert names(url, cache) == [".git", "app.py", "requirements.txt"]


def test_nothing_of_the_repository_or_the_user_runs(
    origin: Origin, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    templates = tmp_path / "templates" / "hooks"
    templates.mkdir(parents=True)
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (templates / hook).write_text(f"#!/bin/sh\necho {hook} >> {ran}\n")
        (templates / hook).chmod(0o755)
    url = origin("a")
    root = tmp_path / "origins" / "a"
    (root / ".gitattributes").write_text("*.py filter=evil\n")
    (root / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch ' + str(ran) + '"\n')
    origin("a", "add", ".")
    origin("a", "commit", "-q", "-m", "attributes")
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[init]\n\ttemplateDir = {templates.parent}\n[core]\n\thooksPath = {templates}\n"
                        f"\tfsmonitor = {templates}/post-checkout\n")  # fmt: skip
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert "app.py" in names(url, cache)
    assert not ran.exists()


def test_a_link_is_laid_out_as_a_link(origin: Origin, cache: Cache, tmp_path: Path) -> None:
    url = origin("a")
    (tmp_path / "origins" / "a" / "out").symlink_to("/etc")
    origin("a", "add", ".")
    origin("a", "commit", "-q", "-m", "link")
    with fetched(source := source_of(url), cache, revision_of(source)) as copy:
        assert (copy.root / "out").readlink() == Path("/etc")


def test_a_copy_is_made_once_and_a_new_revision_takes_its_place(origin: Origin, cache: Cache) -> None:
    source = source_of(origin("a"))
    first = revision_of(source)
    with fetched(source, cache, first) as copy:
        (copy.root / "mark").touch()
    with fetched(source, cache, first) as copy:
        assert (copy.root / "mark").exists()
    origin("a", "commit", "-q", "--allow-empty", "-m", "second")
    second = revision_of(source)
    with fetched(source, cache, second) as copy:
        assert not (copy.root / "mark").exists()
    assert [path.name for path in cache.folder.glob("*/*") if path.is_dir()] == [second]


def test_what_is_too_large_is_refused(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = origin("a")
    (tmp_path / "origins" / "a" / "zeros").write_bytes(bytes(500_000))  # small when packed
    origin("a", "add", ".")
    origin("a", "commit", "-q", "-m", "bomb")
    with pytest.raises(FetchError, match="bytes of files, more than") as error:
        names(url, Cache(tmp_path / "cache", repository=100_000))
    assert not error.value.again
    (tmp_path / "origins" / "a" / "noise").write_bytes(os.urandom(500_000))
    origin("a", "add", ".")
    origin("a", "commit", "-q", "-m", "pack")
    with pytest.raises(FetchError, match="larger than allowed"):
        names(url, Cache(tmp_path / "cache", repository=100_000))
    monkeypatch.setattr(clone, "MAX_ENTRIES", 2)
    with pytest.raises(FetchError, match="files, more than 2"):
        names(url, Cache(tmp_path / "cache"))
    left = list((tmp_path / "cache").rglob("app.py"))
    assert left == []


def test_the_cache_is_kept_below_its_limit_and_what_is_in_use_stays(origin: Origin, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit=1)
    for name in ("a", "b"):
        names(origin(name), cache)
    source = source_of(origin("c"))
    with fetched(source, cache, revision_of(source)) as copy:
        trim(cache)
        assert (copy.root / "app.py").exists()
        assert len(list(cache.folder.rglob("app.py"))) == 1
    trim(cache)
    assert list(cache.folder.rglob("app.py")) == []


def test_what_cannot_be_fetched_says_whether_later_may_help(origin: Origin, cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="does not appear to be a git repository") as error:
        revision_of(source_of((tmp_path / "none").as_uri()))
    assert not error.value.again
    with pytest.raises(FetchError) as error:
        revision_of(source_of("https://127.0.0.1:9/x"))
    assert error.value.again
    empty = tmp_path / "empty.git"
    subprocess.run(["git", "init", "-q", "--bare", str(empty)], check=True)
    with pytest.raises(FetchError, match="no commits"):
        revision_of(source_of(empty.as_uri()))


def test_a_message_holds_no_credential() -> None:
    import git

    error = git.GitCommandError(["git"], 128, b"fatal: unable to access 'https://me:s3cret@h.example/x/': timed out")
    assert "s3cret" not in clone._words(error)
    assert "h.example" in clone._words(error)
