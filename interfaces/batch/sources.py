"""What a batch reviews: one word of the command line to one or many repositories.

    found = find_sources(["services/*", "git@host:team/model.git", "team.csv"], host="https://host")   -> [Source, …]

A source is a folder as it stands, or a repository that git has to fetch. Globs and lists (`lists.py`) give many. Each
has an identity (place, revision, scope): named twice, it is reviewed once, and its folder among the reports is called
the same whatever else is in the batch.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from ml_engineer.report.text import public_url

LISTS = (".txt", ".csv", ".jsonl", ".ndjson")
_SCHEMES = ("https", "http", "ssh", "git", "file")
_SCP = re.compile(r"^(?:[\w.-]+@)?(?P<host>[\w.-]{2,}):(?!//)(?P<path>[^\\:].*)$")
_OWNER_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)+$")
_REVISION = re.compile(r"^(?!-)(?!.*\.\.)[\w./+@-]+$")
_BARE = {"HEAD", "objects", "refs"}


class SourceError(Exception):
    """A source that cannot be used. The message names it, without a credential, and says what to do."""


@dataclass(frozen=True)
class Source:
    """One repository to review. `place` is an absolute path, or a URL as git takes it.

    `revision` is a branch, a tag or a full commit; None is the default branch, or the folder as it stands.
    `scope` is the folder inside the repository that is reviewed, empty for all of it.
    """

    place: str
    kind: Literal["path", "git"]
    revision: str | None = None
    scope: str = ""
    owner: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The same for the same repository by whatever protocol it is fetched."""
        return (
            f"{self.kind}:{_canonical(self.place) if self.kind == 'git' else self.place} {self.revision} {self.scope}"
        )

    @property
    def name(self) -> str:
        """What a person calls it: the last part of its place, and its scope."""
        last = _path_of(self.place).rstrip("/").removesuffix(".git").rpartition("/")[2] or "repository"
        return f"{last}/{self.scope}" if self.scope else last

    @property
    def folder(self) -> str:
        """Name of its folder among the reports: unique, and of harmless characters."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.")[:60] or "repository"
        return f"{slug}-{hashlib.sha256(self.identity.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"

    @property
    def shown(self) -> str:
        """Its place for a reader, without user names."""
        return public_url(self.place) if self.kind == "git" else self.place

    def record(self) -> dict[str, Any]:
        """As plain JSON values; `Source(**record)` gives it back."""
        return dict(vars(self))


def find_sources(
    words: Sequence[str],
    *,
    host: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> list[Source]:
    """All sources that the words name, each once, in order. Raises SourceError for a word that names none.

    `include` and `exclude` are patterns of `fnmatch` on the name or the place.
    """
    found: dict[str, Source] = {}
    for word in words:
        for source in _of_word(word, host):
            found.setdefault(source.identity, source)
    kept = [source for source in found.values() if _wanted(source, include, exclude)]
    if found and not kept:
        raise SourceError(f"--include and --exclude leave none of {len(found)} repositories; change the patterns")
    return kept


def _wanted(source: Source, include: Sequence[str], exclude: Sequence[str]) -> bool:
    def named(patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(text, p) for p in patterns for text in (source.name, source.shown))

    return (not include or named(include)) and not named(exclude)


def _of_word(word: str, host: str | None) -> Iterable[Source]:
    path = Path(word).expanduser()
    if _is_url(word):
        return [source_of(word, host=host)]
    if path.is_file() and path.suffix.lower() in LISTS:
        from ml_engineer.interfaces.batch.lists import read_list

        return read_list(path, host)
    if set(word) & set("*?[") and not path.exists():
        folders = sorted(
            str(found) for found in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if found.is_dir()
        )
        if not folders:
            raise SourceError(f"{word}: no folder is named like this; check the pattern")
        return [source_of(folder) for folder in folders]
    return [source_of(word, host=host)]


def source_of(
    place: str,
    *,
    host: str | None = None,
    base: Path | None = None,
    revision: str | None = None,
    scope: str = "",
    owner: str = "",
    labels: dict[str, str] | None = None,
) -> Source:
    """One source from its place. A relative path counts from `base`. Raises SourceError."""
    rest: dict[str, Any] = {"scope": _scope(scope, place), "owner": owner, "labels": labels or {}}
    if revision is not None and not _REVISION.match(revision):
        raise SourceError(f"{_safe(place)}: {revision!r} is no branch, tag or commit")
    if _is_url(place):
        return Source(_checked_url(place), "git", revision, **rest)
    path = (base or Path()) / Path(place).expanduser()
    if path.is_dir():
        path = path.resolve()
        names = {entry.name for entry in path.iterdir()} if revision is None else _BARE
        if revision is not None or (names >= _BARE and ".git" not in names):
            return Source(path.as_uri(), "git", revision, **rest)
        return Source(str(path), "path", None, **rest)
    if path.is_file():
        lists = ", ".join(LISTS)
        raise SourceError(f"{place}: this is a file; give a repository's folder, or a list ({lists})")
    if _OWNER_NAME.match(place) and ".." not in place:
        if host is None:
            more = "or give --host, for example --host https://git.example.org, to fetch it from a server"
            raise SourceError(f"{place}: there is no such folder; check the path, {more}")
        joint = "" if host.endswith((":", "/")) else "/"
        return Source(_checked_url(f"{host}{joint}{place}"), "git", revision, **rest)
    raise SourceError(f"{place}: there is no such folder, and it is no URL that git can fetch; check it")


def _is_url(word: str) -> bool:
    return "://" in word or (bool(_SCP.match(word)) and not Path(word).exists())


def _checked_url(url: str) -> str:
    """The URL, if git may be given it. A password in it would end in logs and in the clone's configuration."""
    if any(ord(sign) < 33 or ord(sign) == 127 for sign in url) or url.startswith("-"):
        raise SourceError(f"{_safe(url)!r} is no URL that git can fetch; check it")
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SourceError(f"{_safe(url)!r} is no URL that git can fetch; check it") from None
    if parts.scheme not in _SCHEMES:
        raise SourceError(f"{_safe(url)}: {parts.scheme} is not supported; use one of {', '.join(_SCHEMES)}")
    if parts.password is not None or (parts.scheme in ("http", "https") and parts.username) or parts.query:
        helper = "leave it to git's own credential helpers, and give the URL without it"
        raise SourceError(f"{_safe(url)}: the URL holds a credential; {helper}")
    return url


def _scope(scope: str, place: str) -> str:
    parts = PurePosixPath(scope.strip().replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ".git" in parts.parts:
        raise SourceError(f"{_safe(place)}: scope {scope!r} must be a folder inside the repository")
    return "" if str(parts) == "." else str(parts)


def _safe(place: str) -> str:
    """The place for a message: what may be a credential is left out."""
    return re.sub(r"//[^/@\s]*@", "//", place).partition("?")[0]


def _canonical(url: str) -> str:
    """Host and path, the same for https, ssh and `user@host:path`."""
    if url.startswith("file://"):
        return url.rstrip("/")
    if "://" in url:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        where = f"{parts.hostname or ''}{port}/{parts.path.lstrip('/')}"
    else:
        match = _SCP.match(url)
        assert match is not None, "a place of git is a URL or host:path"
        where = f"{match['host'].lower()}/{match['path'].lstrip('/')}"
    return where.rstrip("/").removesuffix(".git")


def _path_of(place: str) -> str:
    if "://" in place:
        return urlsplit(place).path
    return place.rpartition(":")[2] if not place.startswith("/") else place
