"""Content-addressed store of old file contents: `blobs/ab/abcdef…`, each content once, under one size cap."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


class BlobsFull(Exception):
    """There is no room for another blob."""


class Blobs:
    """`cap` and `used` are bytes. What may be removed to make room is the caller's knowledge (`make_room`)."""

    def __init__(self, directory: Path, *, cap: int) -> None:
        self.directory = directory
        self.cap = cap
        directory.mkdir(parents=True, exist_ok=True)
        self._sizes = {path.name: path.stat().st_size for path in directory.glob("??/*") if len(path.name) == 64}
        self.used = sum(self._sizes.values())

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._sizes

    def put(self, data: bytes, *, fsync: bool) -> str:
        """Keeps `data`, gives its SHA-256. Raises BlobsFull, or OSError when the disk refuses."""
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in self._sizes:
            return sha256
        if self.used + len(data) > self.cap:
            raise BlobsFull
        path = self._path(sha256)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".new")
        with open(temporary, "wb") as file:
            file.write(data)
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(path)
        self._sizes[sha256] = len(data)
        self.used += len(data)
        return sha256

    def get(self, sha256: str) -> bytes | None:
        """The content, or None when it was pruned. Raises ValueError when the stored bytes are damaged."""
        if sha256 not in self._sizes:
            return None
        data = self._path(sha256).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"the stored content {self._path(sha256)} is damaged")
        return data

    def make_room(self, wanted: int, candidates: Iterable[str]) -> bool:
        """Removes candidates in their order until `wanted` bytes fit; False when they do not."""
        for sha256 in candidates:
            if self.used + wanted <= self.cap:
                break
            size = self._sizes.pop(sha256, None)
            if size is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._path(sha256).unlink()
                self.used -= size
        return self.used + wanted <= self.cap

    def all(self) -> list[str]:
        return list(self._sizes)

    def _path(self, sha256: str) -> Path:
        return self.directory / sha256[:2] / sha256
