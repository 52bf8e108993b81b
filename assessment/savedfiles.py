"""Saved models and data: what their bytes say, without loading them.

`repo.artefacts` lists every file whose name or content is that of a saved model, with its format, the globals that
loading it would import (pickles, old and new torch files, joblib), the versions noted in it, Keras layers that carry
code, and the reason where it could not be read to its end. Everything is bounded; nothing is unpickled.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from ml_engineer.assessment import pickles
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

MAX_READ = 512 * 1024 * 1024  # bytes taken from one file or member, packed ones counted as unpacked
MAX_DIRECTORY = 8 * 1024 * 1024  # bytes of an archive's directory
MAX_JSON = 16 * 1024 * 1024
PICKLES = frozenset(".pkl .pickle .joblib .sav .dill .p .pk .pck".split())
TORCH = frozenset(".pt .pth .bin .ckpt".split())
KERAS = frozenset(".h5 .hdf5 .keras".split())
OTHERS = frozenset(
    ".onnx .pb .tflite .safetensors .gguf .caffemodel .cbm .ubj .mar .pmml .mlmodel .model .weights .params".split()
)
MODEL_SUFFIXES = PICKLES | TORCH | KERAS | OTHERS

_H5 = b"\x89HDF\r\n\x1a\n"
_LFS = b"version https://git-lfs.github.com/spec/"
_VERSION = re.compile(rb"\d+\.\d+\.\d+(?:-tf|rc\d|\.dev\d*)?")
_CODE = re.compile(r'"function_type":\s*"lambda"|"class_name":\s*"__lambda__"')
_LAMBDA = re.compile(r'"class_name":\s*"Lambda"')


@dataclass
class Artefact:
    """A saved model. `format` is pickle, joblib, torch, torch-zip, keras-h5, keras-zip, lfs or other."""

    file: File
    format: str
    globals: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)
    lambdas: bool = False  # a Keras Lambda layer that carries code
    problem: str | None = None  # why it was not read to its end
    limited: bool = False  # only a limit of this reader stood in the way

    @property
    def path(self) -> str:
        return self.file.path

    def site(self, note: str | None = None) -> Site:
        """The file as a whole: it has no lines to quote."""
        return Site(self.path, 1, 1, "", None, self.path, note)


def find_artefacts(repo: Repo) -> list[Artefact]:
    """Every saved model of the repository, by path, vendored ones left out."""
    found = []
    for file in repo.files.values():
        named = file.suffix in MODEL_SUFFIXES or (not file.suffix and file.head(8) == _H5)
        if named and "vendored" not in file.roles:
            made = read(file)
            if made is not None:
                found.append(made)
    return found


def read(file: File) -> Artefact | None:
    """What the bytes of a file say. None where the name promises a model but the content is plain text."""
    head = file.head(64)
    if head.startswith(_LFS):
        return Artefact(file, "lfs")
    if not head:
        return None
    with _opened(file) as stream:
        if stream is None:
            return Artefact(file, "other", problem=file.unread or "it cannot be opened", limited=True)
        if head.startswith(b"PK\x03\x04"):
            return _archive(file, stream)
        if head.startswith(_H5):
            return _h5(file, stream)
        if file.suffix in OTHERS:
            return None if _is_text(head) and file.suffix != ".pmml" else Artefact(file, "other")
        if _is_text(head) and file.suffix in (".bin", ".ckpt", ".p", ".h5") and not _looks_pickled(head):
            return None
        if file.suffix in KERAS:
            return Artefact(file, "other")
        if file.suffix in (".bin", ".ckpt") and not _looks_pickled(head):
            return Artefact(file, "other")
        return _pickle(file, stream, head)


def _is_text(head: bytes) -> bool:
    return all(byte >= 9 for byte in head) and not any(byte > 126 for byte in head)


def _looks_pickled(head: bytes) -> bool:
    """Whether bytes begin as a pickle does: with a protocol mark, or in the old protocols with a container."""
    return (head[:1] == b"\x80" and head[1:2] <= b"\x05") or head[:1] in (b"(", b"c", b"]", b"}")


@contextmanager
def _opened(file: File) -> Iterator[IO[bytes] | None]:
    """The file for reading, never through a link, never a special file."""
    try:
        descriptor = os.open(file.root / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        file.unread = getattr(error, "strerror", None) or str(error)
        yield None
        return
    with os.fdopen(descriptor, "rb") as stream:
        yield stream if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


class _Capped:
    """A stream that ends with an error once too much has been taken from it, so that no bomb unfolds."""

    def __init__(self, stream: IO[bytes] | _Inflated) -> None:
        self._stream = stream
        self._left = MAX_READ

    def read(self, size: int, /) -> bytes:
        try:
            data = self._stream.read(size)
        except (zlib.error, lzma.LZMAError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise OSError(str(error)) from None
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"more than {MAX_READ // 1024 // 1024} MB")
        return data


class _Inflated:
    """A zlib stream, unfolded as it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._unpacker = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        while True:
            packed = self._unpacker.unconsumed_tail or self._stream.read(65_536)
            if not packed:
                return b""
            data = self._unpacker.decompress(packed, size)
            if data:
                return data


# --- pickles ----------------------------------------------------------------------------------------------------------


def _pickle(file: File, stream: IO[bytes], head: bytes) -> Artefact:
    source: IO[bytes] | _Inflated = stream
    if head.startswith(b"\x1f\x8b"):
        source = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment] # reads bytes like any binary stream
    elif head.startswith(b"BZh"):
        source = bz2.BZ2File(stream)
    elif head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        source = lzma.LZMAFile(stream)  # noqa: SIM115 - closing it is the caller's: it only wraps the stream
    elif head[:1] == b"\x78" and head[1:2] in b"\x01\x5e\x9c\xda":
        source = _Inflated(stream)
    elif head.startswith(b"\x04\x22\x4d\x18"):
        return Artefact(file, "joblib", problem="it is packed with LZ4, which is not read here", limited=True)
    elif not _looks_pickled(head):
        return Artefact(file, "other", problem=f"its name says {file.suffix}, its content is something else")
    found = pickles.walk(_Capped(source))
    joblib = any(name.startswith("joblib.") or "externals.joblib" in name for name in found.globals)
    torch = any(name.startswith("torch.") for name in found.globals) and file.suffix in TORCH
    kind = "joblib" if joblib or file.suffix == ".joblib" else "torch" if torch else "pickle"
    return Artefact(file, kind, found.globals, found.versions, False, found.problem, found.limited)


# --- archives ---------------------------------------------------------------------------------------------------------


def _archive(file: File, stream: IO[bytes]) -> Artefact | None:
    """A torch or Keras 3 archive; other archives are no saved models."""
    size = _directory_size(stream)
    if size is None:
        return Artefact(file, "other", problem="it is an archive without a directory")
    if size > MAX_DIRECTORY:
        return Artefact(file, "other", problem="its archive directory is too large", limited=True)
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError, UnicodeDecodeError) as error:
        return Artefact(file, "other", problem=f"its archive cannot be read: {error}")
    names = archive.namelist()
    if "config.json" in names or "metadata.json" in names:
        return _keras_archive(file, archive)
    made = Artefact(file, "torch-zip")
    inner = [name for name in names if name.endswith((".pkl", ".pickle"))]
    if not inner:
        return Artefact(file, "other")
    for name in inner[:50]:
        try:
            with archive.open(name) as member:
                found = pickles.walk(_Capped(member))
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, zlib.error, KeyError) as error:
            made.problem = f"{name}: {error}"
            continue
        made.globals |= found.globals
        made.versions |= found.versions
        if found.problem and not made.problem:
            made.problem, made.limited = f"{name}: {found.problem}", found.limited
    return made


def _directory_size(stream: IO[bytes]) -> int | None:
    """Bytes of a zip archive's directory, from its end record; None without one."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - 66_000))
    tail = stream.read(66_000)
    at = tail.rfind(b"PK\x05\x06")
    size = None
    if at >= 0 and len(tail) >= at + 22:
        size = int(struct.unpack_from("<L", tail, at + 12)[0])
        large = tail.rfind(b"PK\x06\x06", 0, at)
        if size == 0xFFFFFFFF and large >= 0 and len(tail) >= large + 48:
            size = int(struct.unpack_from("<Q", tail, large + 40)[0])
    stream.seek(0)
    return size


def _keras_archive(file: File, archive: zipfile.ZipFile) -> Artefact:
    made = Artefact(file, "keras-zip")
    for name in ("config.json", "metadata.json"):
        try:
            with archive.open(name) as member:
                text = member.read(MAX_JSON).decode("utf-8", "replace")
        except KeyError:
            continue
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
            made.problem = f"{name}: {error}"
            continue
        if name == "config.json":
            made.lambdas = bool(_LAMBDA.search(text) and _CODE.search(text))
        else:
            try:
                metadata = json.loads(text)
            except (ValueError, RecursionError):
                continue
            version = metadata.get("keras_version") if isinstance(metadata, dict) else None
            if isinstance(version, str):
                made.versions["keras"] = version
    return made


def _h5(file: File, stream: IO[bytes]) -> Artefact:
    """Keras attributes of an HDF5 file, by their text: names and values stand in the file as they are."""
    buffer = io.BytesIO()
    buffer.write(stream.read(MAX_JSON))
    end = stream.seek(0, os.SEEK_END)
    if end > MAX_JSON:
        stream.seek(max(MAX_JSON, end - MAX_JSON))
        buffer.write(stream.read(MAX_JSON))
    data = buffer.getvalue()
    made = Artefact(file, "keras-h5" if b"keras" in data or b"layer_names" in data else "other")
    version = _keras_version(data)
    if version:
        made.versions["keras"] = version
    text = data.decode("latin-1")
    made.lambdas = bool(_LAMBDA.search(text) and _CODE.search(text))
    return made


def _keras_version(data: bytes) -> str | None:
    """Value of the attribute `keras_version` of an HDF5 file: beside its name, or in the heap that it refers to."""
    at = data.find(b"keras_version\x00")
    if at < 0:
        return None
    after = data[at + 14 : at + 120]
    inline = _VERSION.search(after)
    if inline:
        return inline[0].decode()
    for offset in range(len(after) - 15):  # length of the text, address of the heap, number of the object in it
        length, address, index = struct.unpack_from("<LQL", after, offset)
        if 0 < length < 32 and data[address : address + 4] == b"GCOL":
            found = _heap_object(data, address, index)
            value = _VERSION.match(found or b"")
            if value:
                return value[0].decode()
    return None


def _heap_object(data: bytes, heap: int, wanted: int) -> bytes | None:
    position = heap + 16
    for _ in range(1_000):
        if position + 16 > len(data):
            return None
        index, size = struct.unpack_from("<H6xQ", data, position)
        if index == wanted:
            return data[position + 16 : position + 16 + min(size, 64)]
        if index == 0:
            return None
        position += 16 + (size + 7) // 8 * 8
    return None
